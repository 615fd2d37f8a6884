"""What runs Stan programs, behind one small interface.

An engine is a value: it says what it is called and whether it can run a program, and
loads a program with its data. What is loaded samples, and evaluates the log density. An
engine keeps nothing between two loads but what is in the cache.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from stanpool.base.options import EngineName
from stanpool.engine.values.draws import Proposals, RawDraws
from stanpool.engine.values.program import StanProgram
from stanpool.engine.values.settings import SampleSettings


@dataclass(frozen=True, eq=False)
class Densities:
    """The log density at points of the unconstrained scale, as Stan samples it.

    Attributes
    ----------
    values
        ``(point,)``: with the Jacobian of the parameters' transformations, and without
        constants, so that only differences of them mean something. Minus infinity where
        the program refuses a point.
    gradients
        ``(point, K)``; not a number where the program refuses a point.
    seconds
        What the evaluations took, all together; not a number if nobody measured it.
    """

    values: np.ndarray
    gradients: np.ndarray
    seconds: float = float("nan")


class LoadedProgram(Protocol):
    """A program with its data, ready to run."""

    def log_density(
        self, points: np.ndarray, *, data: Mapping[str, Any] | None = None
    ) -> Densities:
        """Evaluate the log density and its gradient.

        Parameters
        ----------
        points
            ``(point, K)`` on the unconstrained scale, in the order of the program's
            declarations and, within each, in Stan's: the first index changes fastest.
        data
            Other data than those that were loaded, for the same program.

        Raises
        ------
        EngineError
            If the engine fails, or the points have another length than the program's
            parameters.
        """

    def sample(
        self,
        settings: SampleSettings,
        *,
        passing: Collection[str] = (),
        progress: bool = True,
    ) -> RawDraws:
        """Sample with NUTS.

        Parameters
        ----------
        settings
            How to sample.
        passing
            Parameters of which the last draw of each chain is all that is needed. An
            engine may keep all draws of them.
        progress
            Whether to show how far the chains are.

        Raises
        ------
        SpecError
            If the engine cannot honour a setting.
        SamplingError
            If a chain does not end well.
        EngineError
            If the engine does not.
        """

    def approximate(
        self, settings: SampleSettings, *, progress: bool = True
    ) -> Proposals:
        """Draw from an approximation to the posterior, which ``settings.method`` names.

        ``"laplace"`` and ``"optimize"`` draw from the normal distribution around the
        mode, whose precision is the negative Hessian; ``"pathfinder"`` from the best
        normal distributions on the paths of an optimizer. All this is on the
        unconstrained scale, with the Jacobian of the transformations.

        Raises
        ------
        SpecError
            If the engine cannot honour a setting.
        SamplingError
            If there is no such approximation.
        EngineError
            If the engine does not.
        """


class Engine(Protocol):
    """What runs Stan programs."""

    @property
    def name(self) -> EngineName:
        """What the engine is called."""

    def why_not(self, settings: SampleSettings | None = None) -> str:
        """Say why the engine cannot be used here, or with settings; "" if it can.

        Whether it can run a program is known when it has been loaded.
        """

    def load(
        self, program: StanProgram, data: Mapping[str, Any], *, progress: bool = True
    ) -> AbstractContextManager[LoadedProgram]:
        """Make a program ready to run with data, and let go of it at the end.

        Raises
        ------
        EngineError
            If the engine cannot run the program, or is not there.
        """
