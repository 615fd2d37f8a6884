"""How to sample, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stanpool.base.arguments import check_fields, public
from stanpool.base.errors import SpecError
from stanpool.base.options import EngineChoice, Method, Threads

ADVICE_ON_INITS = (
    "No starting point with a finite density was found. Check that the data are in "
    "the support of the outcome and that no prior is far too wide; or start nearer to "
    "0 with inits=0.5, or at values of your own with inits={'sigma': 1.0}."
)

PATHS = 4
"""How many paths pathfinder follows, each of which gives as many draws."""

NO_PROPER_MODE = (
    "The log density has no maximum that a normal distribution could approximate: in "
    "some direction the density is flat, or grows without bound, as that of groups' "
    "coefficients does where their scale is near 0. method='nuts' needs no maximum; "
    "method='pathfinder' may work, and so may another parameterization or a prior "
    "that keeps scales away from 0."
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
        The largest number of doublings of a trajectory, at most 30.
    parallel_chains
        The number of chains at a time; None for as many as this process has cores.
    threads_per_chain
        The number of threads that share a chain's likelihood, if it is in C++;
        ``"auto"`` means one here.
    inits
        Initial values as cmdstanpy takes them: a number for the half width of random
        ones, a mapping, or one mapping for each chain.
    thin
        Of how many draws one is kept; at most 10 million.
    save_warmup
        Whether to keep the draws of the warm-up, too.
    output_dir
        A folder for CmdStan's CSV files; None for one that is removed.
    sample_options
        More arguments for ``cmdstanpy.CmdStanModel.sample``, as pairs.
    engine
        What runs the program: ``"cmdstan"``, ``"stanli"``, or ``"auto"`` for the one
        that is expected to finish first.
    method
        ``"nuts"``, or an approximation, whose draws are independent and form one chain
        without warm-up.

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
    save_warmup: bool = False
    output_dir: str | None = None
    sample_options: tuple[tuple[str, Any], ...] = ()
    engine: EngineChoice = "auto"
    method: Method = "nuts"

    def __post_init__(self) -> None:
        """Check every value; NumPy's integers become Python's."""
        check_fields(self)
        of, count = "chain", self.chains
        if self.method == "pathfinder":
            of, count = "path", PATHS
        if isinstance(self.inits, list | tuple) and len(self.inits) != count:
            raise SpecError(
                f"inits has {len(self.inits)} members for {of}s={count}: give one "
                f"mapping of initial values for each {of}, or one for all."
            )


def warmup_draws(settings: SampleSettings) -> int:
    """Return how many draws of the warm-up each chain keeps."""
    return -(-settings.warmup // settings.thin) if settings.save_warmup else 0
