"""Draws as an engine returns them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from stanpool.base.errors import suggestion


@dataclass(frozen=True, eq=False, repr=False)
class Columns:
    """Variables of a program, or of a sampler, as columns of one array.

    Attributes
    ----------
    array
        ``(draw, chain, column)``, each column's draws together in memory.
    variables
        Where each variable is and which shape it has, as stanio says it.
    """

    array: np.ndarray
    variables: Mapping[str, Any]

    @classmethod
    def named(cls, array: np.ndarray, names: Iterable[str]) -> Columns:
        """Return columns by their names in CmdStan's files, such as ``theta.1.2``."""
        import stanio

        header = ",".join(names)
        return cls(array, stanio.parse_header(header) if header else {})

    def of(self, name: str) -> np.ndarray:
        """Return a variable, ``(chain, draw, ...)``."""
        if name not in self.variables:
            known = suggestion(name, self.variables)
            raise KeyError(f"the draws have no {name!r}.{known}")
        values: np.ndarray = self.variables[name].extract_reshape(self.array)
        return values.swapaxes(0, 1)

    def part(self, draws: slice) -> Columns:
        """Return draws that follow each other."""
        return replace(self, array=self.array[draws])

    def taken(self, places: np.ndarray) -> Columns:
        """Return a copy of some draws, in this order."""
        return replace(self, array=np.asfortranarray(self.array[places]))


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

    _sampler: Columns
    _program: Columns
    engine: Mapping[str, str]
    rejections: Mapping[str, int]
    step_size: np.ndarray | None = None
    inv_metric: np.ndarray | None = None
    seconds_warmup: np.ndarray = field(default_factory=lambda: np.zeros(1))
    seconds_sampling: np.ndarray = field(default_factory=lambda: np.zeros(1))
    warmup: int = 0
    _passing: Columns | None = None  # variables of which there is the last draw only

    @property
    def of_warmup(self) -> RawDraws:
        """The draws of the warm-up."""
        return self._part(slice(self.warmup))

    @property
    def after_warmup(self) -> RawDraws:
        """The draws after the warm-up."""
        return self._part(slice(self.warmup, None))

    @property
    def variable_names(self) -> tuple[str, ...]:
        """The variables of the program that hold at least one number."""
        return tuple(self._program.variables)

    def stan_variable(self, name: str) -> np.ndarray:
        """Return a variable of the program, ``(chain, draw, ...)``."""
        return self._program.of(name)

    def sampler_variable(self, name: str) -> np.ndarray:
        """Return ``lp__``, ``divergent__`` or its like, ``(chain, draw)``."""
        return self._sampler.of(name)

    def last_draws(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Return the last draw of each chain, ``(chain, ...)``.

        Parameters
        ----------
        names
            Variables of the program; those that hold no number are left out.
        """
        known = [self._program, *([self._passing] if self._passing else [])]
        return {
            name: each.of(name)[:, -1]
            for name in names
            for each in known
            if name in each.variables
        }

    def taken(self, places: np.ndarray) -> RawDraws:
        """Return some draws of each chain, in this order."""
        both = self._sampler.taken(places), self._program.taken(places)
        return replace(self, _sampler=both[0], _program=both[1])

    def _part(self, draws: slice) -> RawDraws:
        both = self._sampler.part(draws), self._program.part(draws)
        return replace(self, _sampler=both[0], _program=both[1], warmup=0)


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
