"""How to sample, as a value."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError, quote
from stanpool.base.options import EngineChoice, Threads

_LOWEST = {
    "chains": 1,
    "draws": 1,
    "warmup": 0,
    "max_treedepth": 1,
    "parallel_chains": 1,
    "thin": 1,
}


_MAX_SEED = 2**32 - 1


@public
@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """How to sample.

    Attributes
    ----------
    chains, draws, warmup
        How many chains, and how many draws and warm-up iterations of each.
    seed
        0 to 2**32 - 1.
    adapt_delta
        Target acceptance rate, between 0 and 1.
    max_treedepth
        Trajectories double at most this often.
    parallel_chains
        Chains at a time; None for as many as this process has cores.
    threads_per_chain
        Threads that share the work of a chain's likelihood, where it is C++; or
        ``"auto"``, which is one here: the caller knows how much work there is.
    inits
        Initial values as cmdstanpy takes them: a number for the half width of random
        ones, a mapping, or one mapping for each chain.
    thin
        Keep every so-many-th draw.
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
        for name, lowest in _LOWEST.items():
            value = getattr(self, name)
            if value is not None or name != "parallel_chains":
                object.__setattr__(self, name, _whole(name, value, lowest))
        object.__setattr__(self, "seed", _whole("seed", self.seed, 0, _MAX_SEED))
        if not isinstance(self.threads_per_chain, str) or (
            self.threads_per_chain != "auto"
        ):
            threads = _whole("threads_per_chain", self.threads_per_chain, 1)
            object.__setattr__(self, "threads_per_chain", threads)
        _check_adapt_delta(self.adapt_delta)
        if isinstance(self.inits, list | tuple) and len(self.inits) != self.chains:
            raise SpecError(
                f"inits has {len(self.inits)} members for chains={self.chains}: give "
                "one mapping of initial values for each chain, or one for all."
            )


def _whole(name: str, value: Any, lowest: int, highest: int | None = None) -> int:
    """Return a whole number within bounds."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    inside = (
        number is not None
        and not isinstance(value, bool)
        and number >= lowest
        and (highest is None or number <= highest)
    )
    if not inside or number is None:
        bounds = f"at least {lowest}" if highest is None else f"{lowest} to {highest}"
        raise SpecError(f"{name}={quote(value)} must be a whole number, {bounds}.")
    return number


def _check_adapt_delta(value: Any) -> None:
    if not isinstance(value, int | float | np.floating) or not 0 < value < 1:
        raise SpecError(
            f"adapt_delta={quote(value)} must be a target acceptance rate "
            "between 0 and 1, such as 0.8, or 0.95 for smaller steps."
        )
