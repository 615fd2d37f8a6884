"""Draws as an engine returns them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from stanpool.base.errors import suggestion


@dataclass(frozen=True, eq=False, repr=False)
class RawDraws:
    """The draws of a run by Stan's own names, none of them copied.

    Attributes
    ----------
    step_size
        ``(chain,)``; None where nothing was adapted.
    inv_metric
        The inverse metric: ``(chain, parameter)`` if diagonal, ``(chain, parameter,
        parameter)`` if dense.
    seconds_warmup, seconds_sampling
        What each chain says it took: ``(chain,)``.
    engine
        What ran the program, as ``name``, and versions: of stanli, or of what the
        executable was made with, Stan, the kind of CmdStan and the compiler.
    rejections
        Why the log density could not be evaluated at proposals, which were then
        rejected, and how often after warm-up.
    warmup
        How many of the draws, the first of each chain, are of the warm-up.
    """

    # (draw, chain, column), each column's draws together in memory
    _array: np.ndarray
    _variables: Mapping[str, Any]
    engine: Mapping[str, str]
    rejections: Mapping[str, int]
    step_size: np.ndarray | None = None
    inv_metric: np.ndarray | None = None
    seconds_warmup: np.ndarray = field(default_factory=lambda: np.zeros(1))
    seconds_sampling: np.ndarray = field(default_factory=lambda: np.zeros(1))
    warmup: int = 0

    @property
    def of_warmup(self) -> RawDraws:
        """The draws of the warm-up."""
        return replace(self, _array=self._array[: self.warmup], warmup=0)

    @property
    def after_warmup(self) -> RawDraws:
        """The draws after the warm-up."""
        return replace(self, _array=self._array[self.warmup :], warmup=0)

    @property
    def variable_names(self) -> tuple[str, ...]:
        """The variables of the program that hold at least one number."""
        return tuple(name for name in self._variables if not name.endswith("__"))

    def stan_variable(self, name: str) -> np.ndarray:
        """Return a variable of the program, ``(chain, draw, ...)``."""
        return self._slice(name, self.variable_names)

    def sampler_variable(self, name: str) -> np.ndarray:
        """Return ``lp__``, ``divergent__`` or its like, ``(chain, draw)``."""
        return self._slice(name, set(self._variables) - set(self.variable_names))

    def taken(self, places: np.ndarray) -> RawDraws:
        """Return some draws of each chain, in this order."""
        return replace(self, _array=np.asfortranarray(self._array[places]))

    def _slice(self, name: str, known: Any) -> np.ndarray:
        if name not in known:
            raise KeyError(f"the draws have no {name!r}.{suggestion(name, known)}")
        values: np.ndarray = self._variables[name].extract_reshape(self._array)
        return values.swapaxes(0, 1)


@dataclass(frozen=True, eq=False)
class Proposals:
    """Independent draws of approximations to a posterior: of one, or of several.

    Attributes
    ----------
    log_density
        The log density of the program on the unconstrained scale: ``(draw,)``.
    log_approximation
        That of the approximation which a draw is of. Both are up to a constant.
    path
        Which approximation that is: ``(draw,)``.
    take
        Returns draws by their places, as those of one chain, with ``lp__`` as the only
        variable of a sampler; for as long as the program is loaded.
    mode
        Where the log density has its maximum, as one draw, if that was looked for.
    """

    log_density: np.ndarray
    log_approximation: np.ndarray
    path: np.ndarray
    take: Callable[[np.ndarray], RawDraws]
    mode: RawDraws | None = None


class Draws(Protocol):
    """What the engine returns: arrays by Stan's names, ``(chain, draw, ...)``."""

    def stan_variable(self, name: str) -> np.ndarray:
        """Return a variable of the program."""

    def sampler_variable(self, name: str) -> np.ndarray:
        """Return a variable of the sampler."""


@dataclass(frozen=True, eq=False)
class NamedDraws:
    """Draws that come from elsewhere, by Stan's names, ``(chain, draw, ...)``."""

    variables: Mapping[str, np.ndarray]

    def stan_variable(self, name: str) -> np.ndarray:
        """Return a variable of the program."""
        return self.variables[name]

    def sampler_variable(self, name: str) -> np.ndarray:
        """Refuse: there is no sampler."""
        raise KeyError(name)
