"""How to sample, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stanpool.base.arguments import check_fields, public
from stanpool.base.errors import SpecError
from stanpool.base.options import EngineChoice, Threads

ADVICE_ON_INITS = (
    "No point to start from with a finite density was found. Check that the data are "
    "in the support of the outcome and that no prior is far too wide; or start nearer "
    "to 0 with inits=0.5, or at values of your own with inits={'sigma': 1.0}."
)


@public
@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """How to sample.

    Attributes
    ----------
    chains, draws, warmup
        How many chains, at most 10,000, and how many draws and warm-up iterations of
        each, at most 10 million.
    seed
        0 to 2**32 - 1.
    adapt_delta
        Target acceptance rate, between 0 and 1.
    max_treedepth
        Trajectories double at most this often, and 30 times at the very most.
    parallel_chains
        Chains at a time; None for as many as this process has cores.
    threads_per_chain
        Threads that share the work of a chain's likelihood, where it is C++; or
        ``"auto"``, which is one here: the caller knows how much work there is.
    inits
        Initial values as cmdstanpy takes them: a number for the half width of random
        ones, a mapping, or one mapping for each chain.
    thin
        Keep every so-many-th draw; at most 10 million.
    sample_options
        Pairs of more arguments for ``cmdstanpy.CmdStanModel.sample``.
    engine
        What runs the program: ``"cmdstan"``, ``"stanli"``, or ``"auto"`` for what is
        expected to be done first.

    Raises
    ------
    SpecError
        If a value is out of its range.

    Examples
    --------
    >>> SampleSettings(seed=1, adapt_delta=0.95).draws
    1000
    """

    chains: int = 4
    draws: int = 1000
    warmup: int = 1000
    seed: int
    adapt_delta: float = 0.8
    max_treedepth: int = 10
    parallel_chains: int | None = None
    threads_per_chain: int | Threads = "auto"
    inits: Any = None
    thin: int = 1
    sample_options: tuple[tuple[str, Any], ...] = ()
    engine: EngineChoice = "auto"

    def __post_init__(self) -> None:
        """Check every value; NumPy's integers become Python's."""
        check_fields(self)
        if isinstance(self.inits, list | tuple) and len(self.inits) != self.chains:
            raise SpecError(
                f"inits has {len(self.inits)} members for chains={self.chains}: give "
                "one mapping of initial values for each chain, or one for all."
            )
