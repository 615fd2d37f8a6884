"""The names and dimensions of a posterior's variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import quote
from stanpool.data.design.design import FactorDesign
from stanpool.language.prior import parameter_classes

# Dimensions of variables of which some numbers are 0 by definition.
WITH_ZEROS = frozenset({"latent"})


def reserved() -> set[str]:
    """Return the names that every posterior keeps for what is in the model itself."""
    of_terms = ("varying", "smooth", "population", "uncertain", "latent")
    own = {
        name
        for name, known in parameter_classes().items()
        if known.indexed not in of_terms and not known.of_formula
    }
    dims = ("chain", "draw", "row", "coefficient", "category", "between")
    return {".", *dims, *WITH_ZEROS, *own}


# The dimension of the coefficients of smooths.
SMOOTH_COEFFICIENT = "smooth_coefficient"


@dataclass(frozen=True)
class GroupNames:
    """The names that belong to a grouping factor in the posterior.

    Attributes
    ----------
    group
        The dimension of the groups.
    coefficient, coefficient_2
        The dimensions of the coefficients that vary over it.
    joint, joint_2
        Those of its coefficients and of all that an id correlates with them.
    tau, Omega, b
        Their scales, their correlations, and the coefficients.
    nu
        The degrees of freedom of their population, if it is a Student-t distribution.
    rho
        The parameter of the covariance between groups, if it has one.
    value
        What groups have of a parameter that is not the mean, such as ``sigma_county``.

    Examples
    --------
    >>> GroupNames.of("county").b, GroupNames.of("county").coefficient
    ('b_county', 'county_coefficient')
    >>> GroupNames.of("county", "sigma").value, GroupNames.of("county", "sigma").tau
    ('sigma_county', 'tau_sigma_county')
    """

    group: str
    coefficient: str
    coefficient_2: str
    joint: str
    joint_2: str
    tau: str
    Omega: str
    b: str
    nu: str
    rho: str
    value: str

    @classmethod
    def of(cls, factor: str, parameter: str = "mean") -> GroupNames:
        """Return the names for a column; ``/``, a path in xarray, becomes ``:``.

        Parameters
        ----------
        factor
            The grouping factor.
        parameter
            The parameter whose linear predictor varies over it.
        """
        name = factor.replace("/", ":")
        of = name if parameter == "mean" else f"{parameter}_{name}"
        return cls(
            group=f"{name}_" if name in reserved() else name,
            coefficient=f"{of}_coefficient",
            coefficient_2=f"{of}_coefficient_2",
            joint=f"{of}_joint",
            joint_2=f"{of}_joint_2",
            tau=f"tau_{of}",
            Omega=f"Omega_{of}",
            b=f"b_{of}",
            nu=f"nu_{of}",
            rho=f"rho_{of}",
            value=f"{parameter}_{name}",
        )


@dataclass(frozen=True)
class Correlations:
    """Where the correlations of a factor's coefficients are in the posterior.

    Attributes
    ----------
    name
        The variable, a matrix.
    own
        Where the factor's own coefficients are in it, of which others may be, too.
    """

    name: str
    own: slice

    @classmethod
    def of(cls, factor: FactorDesign, parameter: str = "mean") -> Correlations:
        """Return that of a factor of a parameter's linear predictor."""
        joint = factor.joint
        if joint is None:
            name = GroupNames.of(factor.factor, parameter).Omega
            return cls(name, slice(0, len(factor.coefficients)))
        first = GroupNames.of(factor.factor, joint.first.parameter)
        return cls(first.Omega, joint.own)


@dataclass(frozen=True)
class Claim:
    """Names that something takes in the posterior, so that nothing else may have them.

    Attributes
    ----------
    owner
        What takes them, for messages.
    names
        The names.
    """

    owner: str
    names: tuple[str, ...]

    @classmethod
    def of_column(cls, column: str, dim: str) -> Claim:
        """Return the claim of a column on the dimension of its levels."""
        return cls(f"column {quote(column)}", (dim,))


@dataclass(frozen=True, eq=False)
class Labelled:
    """Variables of a posterior, and the labels of their dimensions.

    Attributes
    ----------
    variables
        By name: dimensions after chain and draw, and values.
    coords
        Labels by dimension.
    """

    variables: dict[str, tuple[tuple[str, ...], Array]]
    coords: dict[str, np.ndarray]


def labels_of(labels: Sequence[Any]) -> np.ndarray:
    """Return labels as an array of whole numbers if all are, else of objects."""
    if labels and all(isinstance(label, int) for label in labels):
        return np.array(labels)
    return np.array(labels, dtype=object)
