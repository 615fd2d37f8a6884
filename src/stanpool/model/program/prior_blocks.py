"""The lines of a program that state priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stanpool.language.prior import DISTRIBUTIONS
from stanpool.model.priors.in_force import class_of
from stanpool.model.program.structure import (
    Structure,
    base_and_number,
    stan_variables,
)


@dataclass(frozen=True)
class _Argument:
    """A number (or vector of numbers) of a prior, as Stan data."""

    name: str
    type: str


@dataclass(frozen=True)
class _Use:
    """One distribution on a parameter class, or on some of its members."""

    distribution: str
    arguments: tuple[_Argument, ...]
    count: str | None = None
    at: str | None = None
    is_joint: bool = False

    @property
    def index(self) -> str:
        return f"[{self.at}]" if self.at else ""

    @property
    def call(self) -> str:
        return ", ".join(argument.name for argument in self.arguments)

    def call_at(self, index: str) -> str:
        return ", ".join(f"{argument.name}[{index}]" for argument in self.arguments)


@dataclass(frozen=True)
class PriorBlock:
    """How a parameter class stands in a program.

    ``bounds`` are those it is declared with; where they are data, ``bounds_type`` is
    their type. Some of its members are constants if it is ``fixed``: then a vector of
    the others is declared, and put together with the constants.
    """

    name: str
    variable: str
    size: str | None
    uses: tuple[_Use, ...]
    bounds: str = ""
    bounds_type: str | None = None
    fixed: bool = False

    @property
    def is_joint(self) -> bool:
        """Whether members are made of what is sampled in their place."""
        return any(use.is_joint for use in self.uses)

    @property
    def is_composed(self) -> bool:
        """Whether the parameter is put together in the transformed parameters."""
        return self.fixed or self.is_joint

    def declared(self, size: str | None = None) -> str:
        """Write the type and the name of the vector that is declared."""
        if self.fixed:
            estimated = f"{self.variable}_estimated"
            return f"vector{self.bounds}[n_{estimated}] {estimated}"
        return f"vector{self.bounds}[{size or self.size}] {self.variable}"


def declared_number(block: PriorBlock | None) -> str:
    """Write the declaration of a number; empty where there is none or a constant."""
    if block is None or block.fixed:
        return ""
    return f"real{block.bounds} {block.variable}"


# Where there is a linear predictor for each of C - 1 categories.
_CATEGORICAL_VARIABLES: Mapping[str, tuple[str, str | None]] = {
    "Intercept": ("alpha_c", "C - 1"),
    "beta": ("to_vector(beta)", "K * (C - 1)"),
    "b": ("b_c", "Q * (C - 1)"),
    "tau": ("tau", "Q * (C - 1)"),
}


# Classes of the mean's groups, with the number of the factor within their sizes.
_NUMBERED = ("b", "tau")

# Constant where their parameter is declared.
UNSTATED = ("uniform", "flat", "constant")


_STAN_NAMES = {"lkj": "lkj_corr_cholesky", "dirichlet": "induced_dirichlet"}


def variable_of(name: str, structure: Structure) -> tuple[str, str | None]:
    """Return the Stan variable of a parameter class, and its size."""
    base, _ = base_and_number(name)
    if structure.is_categorical and base in _CATEGORICAL_VARIABLES:
        return _CATEGORICAL_VARIABLES[base]
    if base == "tau_sigma" and structure.residual:
        return base, None
    own, _, parameter = base.partition("_")
    if own == "beta" and structure.has_free(parameter or "mean"):
        return free_coefficients(f"_{parameter}" if parameter else "")
    return stan_variables()[base]


def free_coefficients(s: str) -> tuple[str, str]:
    """Name the coefficients that are not of smooths, and their number."""
    return f"beta_free{s}", f"K_free{s}"


def prior_block(
    name: str, distributions: tuple[str, ...], structure: Structure
) -> PriorBlock:
    """Lay out the data and the statement of a parameter class's priors."""
    base, number = base_and_number(name)
    variable, size = variable_of(name, structure)
    variable = f"{variable}{number}"
    if size is not None and number:
        size = size.replace("Q", f"Q{number}") if base in _NUMBERED else size + number
    if base == "sigma" and structure.residual == "free":
        variable = "sigma_j"
    uses = []
    for distribution in distributions:
        if distribution in UNSTATED:
            continue
        split = len(distributions) > 1
        stem = f"{name}_{distribution}" if split else name
        length = f"n_{stem}" if split else size
        if distribution == "dirichlet":
            length = None  # one number for all cutpoints
        known = DISTRIBUTIONS[distribution]
        arguments = tuple(
            _Argument(
                f"prior_{stem}_{argument}",
                ("vector" if length else "real")
                + ("<lower=0>" if argument in known.positive_arguments else "")
                + (f"[{length}]" if length else ""),
            )
            for argument in known.arguments
        )
        uses.append(
            _Use(
                _STAN_NAMES.get(distribution, distribution),
                arguments,
                count=f"n_{stem}" if split else None,
                at=f"at_{stem}" if split else None,
                is_joint=known.support == "shrinkage",
            )
        )
    fixed = structure.fixes(name)
    declared = f"n_{variable}_estimated" if fixed and size else size
    return PriorBlock(
        name,
        variable,
        size,
        tuple(uses),
        bounds=_declared_bounds(name, structure),
        bounds_type=_bounds_type(name, declared) if name in structure.bounded else None,
        fixed=fixed,
    )


def _bounds_type(name: str, size: str | None) -> str:
    """Return the type of the bounds of a class: as many as it has members."""
    if size is None:
        return "real"
    return f"matrix[J, {size}]" if name == "b" else f"vector[{size}]"


def _declared_bounds(name: str, structure: Structure) -> str:
    """Write the bounds with which a class of parameters is declared."""
    if name in structure.bounded:
        return f"<lower=lower_{name}, upper=upper_{name}>"
    known = class_of(name)
    if known.support == "unit":
        return "<lower=0, upper=1>"
    return f"<lower={known.lower or 0:g}>" if known.support == "positive" else ""
