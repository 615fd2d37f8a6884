"""The linear predictors of a fit's own rows, a few at a time, term by term."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from stanpool.coefficients import Coefficients, coefficients, flat
from stanpool.posterior import GroupNames
from stanpool.spec import FAMILIES

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.design import Design
    from stanpool.fit import Fit, Model

Array = np.ndarray

_CHUNK = 2**20  # numbers: 8 MB of draws x rows


@dataclass(frozen=True, eq=False)
class Predictors:
    """The linear predictors of a fit's rows, a few at a time.

    Attributes
    ----------
    model, design
        The model, and the rows.
    posterior
        The draws.
    coefficients
        The same as arrays.
    """

    model: Model
    design: Design
    posterior: xr.Dataset
    coefficients: Coefficients

    @property
    def shape(self) -> tuple[int, int]:
        """Chains, and draws of each."""
        return self.posterior.sizes["chain"], self.posterior.sizes["draw"]

    @property
    def is_categorical(self) -> bool:
        """Whether there is a linear predictor for each category but one."""
        return FAMILIES[self.model.spec.family].outcome == "categories"

    def without(self, factors: Collection[int]) -> Predictors:
        """Leave out what deviates from the population in some grouping factors."""
        kept = [n for n in range(len(self.design.factors)) if n not in factors]
        own = self.coefficients.factors
        return replace(
            self,
            design=replace(
                self.design, factors=tuple(self.design.factors[n] for n in kept)
            ),
            coefficients=replace(
                self.coefficients, factors=tuple(own[n] for n in kept)
            ),
        )

    def chunks(self) -> Iterator[slice]:
        """Cut the rows into chunks of some 8 MB of linear predictors."""
        draws, predictors, _ = self.coefficients.beta.shape
        widest = max((each.Z.shape[1] for each in self.design.factors), default=1)
        width = max(predictors * widest, len(self.design.categories))
        size = max(1, _CHUNK // (draws * width))
        for start in range(0, self.design.rows, size):
            yield slice(start, min(start + size, self.design.rows))

    def eta(self, rows: slice | Array) -> Array:
        """Return linear predictors with offsets of some rows.

        Shape ``(S, rows)``, and one more axis for categories.
        """
        found, design = self.coefficients, self.design
        eta = found.alpha[..., None] + found.beta @ design.X[rows].T
        for factor, own in zip(design.factors, found.factors, strict=True):
            index, z = factor.index[rows], factor.Z[rows]
            if factor.weights is None:
                eta += own.effects_on(index, z)
                continue
            for member in range(index.shape[1]):
                weighted = factor.weights[rows, member, None] * z
                eta += own.effects_on(index[:, member], weighted)
        if design.offset is not None:
            eta += design.offset[rows]
        return np.moveaxis(eta, 1, 2) if self.is_categorical else eta[:, 0]

    def parameters(self, rows: slice | Array) -> dict[str, Array]:
        """Return the family's parameters, which broadcast against ``(S, rows)``."""
        posterior, residual = self.posterior, self.design.residual
        found = {}
        for name in FAMILIES[self.model.spec.family].parameters:
            if name == "sigma" and residual is not None:
                scales = posterior[GroupNames.of(residual[0]).sigma]
                found[name] = flat(scales)[:, residual[2][rows]]
            elif name in posterior:
                found[name] = flat(posterior[name])[:, None]
        return found


def predictors_of(fit: Fit) -> Predictors:
    """Return the linear predictors of a fit's rows, at all draws."""
    posterior = fit.posterior
    return Predictors(
        fit.model, fit.model.design, posterior, coefficients(fit.model, posterior)
    )
