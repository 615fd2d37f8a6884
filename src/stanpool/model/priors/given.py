"""Parameters that are given, where draws from priors are expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.model.priors.distributions import PriorDraws
from stanpool.model.priors.in_force import PriorRow, class_of


@dataclass(frozen=True, eq=False)
class GivenDraws(PriorDraws):
    """Values of the population's parameters, at predictors of 0.

    Attributes
    ----------
    values
        The values by the names of ``model.priors``; correlations by those of the
        posterior, and 0 where they are not given.
    means
        The means of predictors by the class of their intercept, whose values stand for
        the intercept at these means.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    means: Mapping[str, Array] = field(default_factory=dict)

    def members(self, name: str, groups: int = 1) -> Array:
        """Return the members of a class, ``(draw, groups, member)``."""
        given = np.array([_value(self.values, row) for row in self.rows(name)])
        if name in self.means and len(given):
            beta = self.members(name.replace("Intercept", "beta", 1))[0, 0]
            given = given + beta.reshape(len(given), -1) @ self.means[name]
        return np.broadcast_to(given, (self.draws, groups, len(given)))

    def correlations(self, name: str, labels: Sequence[str]) -> Array:
        """Return the Cholesky factor of given correlations, ``(draw, D, D)``.

        Raises
        ------
        SpecError
            If there are no such correlations.
        """
        (row,) = self.rows(name)
        matrix = np.eye(len(labels))
        for i, first in enumerate(labels):
            for j, second in enumerate(labels[:i]):
                orders = ((first, second), (second, first))
                known = [f"{row.parameter}[{a}, {b}]" for a, b in orders]
                found = [self.values[each] for each in known if each in self.values]
                matrix[i, j] = matrix[j, i] = found[0] if found else 0.0
        try:
            factor = np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            raise SpecError(
                f"the correlations {quote(row.parameter)} that are assumed are not "
                "possible together: their matrix is not positive definite."
            ) from None
        return np.broadcast_to(factor, (self.draws, *matrix.shape))


def _value(values: Mapping[str, float], row: PriorRow) -> float:
    """Return a parameter's given value, or the constant that it is."""
    constant = row.prior.arguments[0] if row.prior.is_constant else np.nan
    return values.get(row.parameter, constant)


def check_given(values: Mapping[str, float], rows: list[PriorRow]) -> None:
    """Refuse values of what is no parameter, and parameters without a value.

    Parameters
    ----------
    values
        The values by name.
    rows
        The priors of the model, which list its parameters.

    Raises
    ------
    SpecError
        If so.
    """
    of_numbers = [row for row in rows if not row.parameter.startswith("Omega")]
    needed = [row.parameter for row in of_numbers]
    correlations = [row.parameter for row in rows if row not in of_numbers]
    for name, value in values.items():
        if name not in needed and name.partition("[")[0] not in correlations:
            raise SpecError(
                f"assume= has {quote(name)}, which is not a parameter of the model; "
                "its parameters are "
                f"{quote_list([*needed, *correlations], 20)}.{suggestion(name, needed)}"
            )
        if not np.isfinite(value):
            raise SpecError(f"assume= has {value!r} for {quote(name)}, not a number.")
    for row in of_numbers:
        low, high = class_of(row.parameter_class).bounds
        value = values.get(row.parameter, high)
        if not low <= value <= high:
            most = f", and at most {high:g}" if high < np.inf else ""
            raise SpecError(
                f"assume= has {value:g} for {quote(row.parameter)}, which must be at "
                f"least {low:g}{most}."
            )
    missing = [
        row.parameter
        for row in of_numbers
        if row.parameter not in values and not row.prior.is_constant
    ]
    if missing:
        raise SpecError(
            f"assume= has no value for {quote_list(missing, 20)}, and data cannot be "
            "simulated without it. Give each parameter a value, or pass a fit, whose "
            "posterior means are used for those that are left out."
        )
