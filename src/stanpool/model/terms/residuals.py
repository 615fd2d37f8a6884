"""Residuals that are correlated within subjects.

In the posterior there is ``residual_rho``, the correlation of residuals one step of
time apart (``ar1``) or of any two of a subject (``cs``). It adds nothing to the linear
predictor: what it changes is how outcomes are distributed about their means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.covariance.correlated_residuals import CorrelatedResiduals
from stanpool.model.pilot.estimate import PilotEstimate
from stanpool.model.priors.distributions import PriorDraws
from stanpool.model.terms.names import Claim, Labelled
from stanpool.model.terms.term import (
    InitialValues,
    Noise,
    ProgramData,
    StanVariables,
    Variables,
)

_SPREAD = 0.1  # of initial values, on the scale of the inverse hyperbolic tangent


@dataclass(frozen=True, eq=False)
class ResidualDraws:
    """Draws of what correlates residuals.

    Attributes
    ----------
    parameters
        By name; numbers have the shape ``(S, 1)``, with an axis for rows.
    """

    parameters: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class ResidualTerm:
    """The correlation of residuals in a model.

    Attributes
    ----------
    design
        Whose residuals are correlated, and how.
    """

    design: CorrelatedResiduals

    @property
    def _parameter(self) -> str:
        return self.design.kind.parameter

    def claims(self) -> Iterator[Claim]:
        """Yield nothing: the names are reserved."""
        yield from ()

    def scale_draws(self, posterior: Variables) -> Iterator[tuple[str, str, Array]]:
        """Yield the correlation."""
        yield "residual", "rho", posterior[self._parameter]

    def labelled(self, stan: StanVariables) -> Labelled:
        """Label draws of Stan's variables."""
        return Labelled({self._parameter: ((), stan(self._parameter))}, {})

    def draws(self, posterior: Variables, population: object = None) -> ResidualDraws:
        """Take the correlation out of labelled draws."""
        return ResidualDraws({self._parameter: posterior[self._parameter][:, None]})

    def stan_data(self, program: ProgramData) -> dict[str, Any]:
        """Return Stan's data of the term, of rows in the order of the program."""
        data: dict[str, Any] = {"residual_place": self.design.place}
        return data | (
            {"residual_gap": self.design.gaps} if self.design.kind.is_of_times else {}
        )

    def prior_draws(
        self, prior: PriorDraws, population: object = None
    ) -> dict[str, Array]:
        """Draw Stan's variables from their priors, ``(draw,)``."""
        return {self._parameter: prior.members(self._parameter)[:, 0, 0]}

    def initial_at(self, draws: ResidualDraws, known: InitialValues) -> InitialValues:
        """Add initial values of what programs declare, from one draw."""
        return known.plus({name: x.item() for name, x in draws.parameters.items()})

    def initial_around(
        self, pilot: PilotEstimate, known: InitialValues, noise: Noise
    ) -> InitialValues:
        """Add a correlation near 0: in the pilot estimate rows are independent."""
        return known.plus({self._parameter: float(np.tanh(_SPREAD * noise(())))})

    def metric(self, pilot: PilotEstimate, program: ProgramData) -> dict[str, Array]:
        """Return the variance of a logit of a correlation of as many pairs as rows."""
        return {self._parameter: np.array(4.0 / len(self.design.index))}
