"""What the parameters of a program are: their shapes, transforms and units.

Names and their order come from the program, since this is how an engine numbers them.
What each name means, and between which bounds it lives, is said here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.density.terms.factors import latent_of, tensor_of
from stanpool.density.terms.formulas import formula_of
from stanpool.density.terms.uncertain import uncertain_of
from stanpool.density.transforms import (
    Between,
    CorrelationCholesky,
    CovarianceCholesky,
    Ordered,
    Shifted,
    Transform,
)
from stanpool.language.family import FAMILIES
from stanpool.model.priors.in_force import PriorRow, class_of

if TYPE_CHECKING:
    from stanpool.data.design.design import ParameterDesign
    from stanpool.model.prepared_model import PreparedModel

_NAME = re.compile(r"(\w+?)(?:_(\d+))?")

# The class of priors of each parameter that has another name.
_CLASS = {"alpha_c": "Intercept", "b_c": "b", "sigma_j": "sigma"}
_CLASS |= {"cutpoint_c": "cutpoint", "L_Omega": "Omega", "beta_free": "beta"}

# How the names of those members end that are not constants.
ESTIMATED = "_estimated"

_OF_GROUPS = {"tau", "tau_root", "L_Omega", "z", "b", "b_c"}


@dataclass(frozen=True, eq=False)
class Parameter:
    """A parameter that a program declares.

    Attributes
    ----------
    name
        Its name in Stan.
    shape
        Its shape in Stan.
    transform
        From unconstrained numbers to its values.
    unit
        How many of the user's units one of Stan's units is: a number, or one for each
        element.
    """

    name: str
    shape: tuple[int, ...]
    transform: Transform
    unit: Array | float = 1.0

    @property
    def count(self) -> int:
        """How many unconstrained numbers it has."""
        return self.transform.count(self.shape)


def parameters_of(
    model: PreparedModel, data: Mapping[str, Any]
) -> tuple[Parameter, ...]:
    """Return the parameters that a model's program declares, in its order.

    Parameters
    ----------
    model
        The model.
    data
        The data dictionary of its program, for offsets and multipliers.

    Raises
    ------
    LookupError
        If a parameter is none that is known here.
    """
    names = declared_names(model.program.source)
    return tuple(_parameter(model, data, name) for name in names)


def declared_names(source: str) -> list[str]:
    r"""Return the names of the parameters that a program declares, in its order.

    Parameters
    ----------
    source
        A program of the templates, which declare each parameter in a line of its own.

    Examples
    --------
    >>> declared_names("data {}\nparameters {\n  real alpha;\n  vector[2] beta;\n}")
    ['alpha', 'beta']
    """
    block = source.partition("\nparameters {")[2].partition("\n}")[0]
    return re.findall(r"^[^/\n]* (\w+);", block, re.MULTILINE)


def base_and_place(name: str) -> tuple[str, int]:
    """Split the name of a parameter: what it is, and of which factor, counted from 0.

    Examples
    --------
    >>> base_and_place("tau_2"), base_and_place("b_c")
    (('tau', 1), ('b_c', 0))
    """
    match = _NAME.fullmatch(name)
    assert match is not None
    return match[1], int(match[2] or 1) - 1


def _parameter(model: PreparedModel, data: Mapping[str, Any], name: str) -> Parameter:
    """Say what a declared name is."""
    if name.endswith(ESTIMATED):
        return _estimated(model, data, name)
    base, place = base_and_place(name)
    shape = _shape(model, base, place)
    unit = _unit(model, base, place, shape)
    return Parameter(name, shape, _transform(model, data, name, shape, unit), unit)


def _estimated(model: PreparedModel, data: Mapping[str, Any], name: str) -> Parameter:
    """Say what the members of a vector are that are not constants."""
    whole = _parameter(model, data, name.removesuffix(ESTIMATED))
    at = constants_of(model)[whole.name].is_estimated
    assert isinstance(whole.transform, Between)
    lower, upper, unit = (
        np.broadcast_to(each, whole.shape)[at]
        for each in (whole.transform.lower, whole.transform.upper, whole.unit)
    )
    return Parameter(name, lower.shape, Between(lower, upper), unit)


@dataclass(frozen=True, eq=False)
class Constants:
    """The members of a parameter that priors fix.

    Attributes
    ----------
    values
        Their values in the user's units, in the parameter's shape; else not numbers.
    """

    values: Array

    @property
    def is_estimated(self) -> NDArray[np.bool_]:
        """Which members are not constants."""
        return np.asarray(np.isnan(self.values))

    def with_estimated(self, estimated: Array | None) -> Array:
        """Return the whole parameter.

        Parameters
        ----------
        estimated
            The members that are not constants; None if all are.
        """
        whole = self.values.copy()
        if estimated is not None:
            whole[self.is_estimated] = estimated
        return whole


def constants_of(model: PreparedModel) -> dict[str, Constants]:
    """Return the constants among the members of parameters, by Stan's names."""
    stan_names = {"Intercept": "alpha_c"}
    fixed = {row.parameter_class for row in model.priors if row.prior.is_constant}
    found = {}
    for own in sorted(fixed):
        base, place = base_and_place(own)
        formula = formula_of(model.design, base)
        kind, end = base, ""
        predictor = model.design.mean
        if formula:
            (kind, predictor), end = formula, f"_{formula[1].parameter}"
        name = stan_names.get(kind, kind)
        if kind == "beta" and predictor.smooths:
            name = "beta_free"
        name = f"{name}{end}"
        rows = priors_of(model, name, place)
        values = [
            row.prior.arguments[0] if row.prior.is_constant else np.nan for row in rows
        ]
        shape = _shape(model, name, place)
        number = f"_{place + 1}" if place else ""
        found[f"{name}{number}"] = Constants(np.reshape(values, shape))
    return found


def _shape(model: PreparedModel, base: str, place: int) -> tuple[int, ...]:
    """Return the shape of a parameter in Stan."""
    design = model.design
    rows = () if not model.spec.is_categorical else (len(design.categories) - 1,)
    if found := formula_of(design, base):
        return _shape_of_formula(*found, place)
    if base in _scalars(model):
        return ()
    if of_smooths := _shape_of_smooths(design.mean, base):
        return of_smooths
    if base in ("beta_z", "beta_local"):
        return (len(design.coefficients),)
    if base in ("alpha_c", "beta"):
        return rows if base == "alpha_c" else (len(design.coefficients), *rows)
    if base in ("cutpoint_c", "cutpoint_bar"):
        return (len(design.categories) - 1,)
    if base == "z_theta":
        return (int(design.intercept) + len(design.coefficients),)
    if base in ("sigma_j", "z_sigma"):
        assert design.residual is not None
        return (len(design.residual.labels),)
    latent = latent_of(design)
    if latent is not None and base in ("scores", "z_loadings"):
        sides = {"scores": latent.score_labels, "z_loadings": latent.loading_labels}
        return len(sides[base]), latent.rank
    if latent is not None and latent.means is not None and base == "beta_factors":
        return (latent.rank * len(latent.means.labels),)
    tensor = tensor_of(design)
    if tensor is not None and base == "product_rms":
        return (tensor.rank,)
    if tensor is not None and base == "score_rms":
        return len(tensor.labels), tensor.rank
    if tensor is not None and base == "z_factors":
        return sum(map(len, tensor.labels)), tensor.rank
    uncertain = uncertain_of(design)
    if uncertain is not None and base in ("mean_x", "sd_x"):
        return (len(uncertain.predictors),)
    if uncertain is not None and base in ("beta_x", "z_x"):
        sizes = {"beta_x": uncertain.labels, "z_x": uncertain.unknown[0]}
        return (len(sizes[base]),)
    if base not in _OF_GROUPS or place >= len(design.factors):
        raise LookupError(base)
    factor = design.factors[place]
    width = len(factor.coefficients)
    return {
        "tau": (width,),
        "tau_root": (width,),
        "L_Omega": (len(factor.correlated), len(factor.correlated)),
        "z": (factor.independent, width),
        "b": (len(factor.labels), width),
        "b_c": (len(factor.labels), width),
    }[base]


def _shape_of_smooths(own: ParameterDesign, base: str) -> tuple[int, ...]:
    """Return the shape of what a predictor with smooths has; empty for others."""
    if not own.smooths:
        return ()
    shapes = {
        "beta_free": len(own.free),
        "tau_s": len(own.scaled),
        "lengthscale": len(own.lengthscales),
        "steps": len(own.steps),
        "z_s": len(own.scale_of),
    }
    return (shapes[base],) if base in shapes else ()


def _shape_of_formula(base: str, own: ParameterDesign, place: int) -> tuple[int, ...]:
    """Return the shape of a coefficient of a parameter that has a formula."""
    if base in ("alpha_c", "nu_u", "rho_u"):
        return ()
    if found := _shape_of_smooths(own, base):
        return found
    if base == "beta":
        return (len(own.coefficients),)
    if base not in ("tau", "L_Omega", "z") or place >= len(own.factors):
        raise LookupError(base)
    factor = own.factors[place]
    width = len(factor.coefficients)
    correlated = len(factor.correlated)
    shapes = {"tau": (width,), "L_Omega": (correlated, correlated)}
    return shapes.get(base, (factor.independent, width))


def _scalars(model: PreparedModel) -> set[str]:
    """Name the parameters that are single numbers."""
    alone = {"alpha_bar", "sigma", "log_sigma", "tau_sigma", "loading_scale"}
    alone |= {"nu_u", "rho_u", "beta_global", "beta_slab", "residual_rho"}
    return alone | {each.name for each in FAMILIES[model.spec.family].auxiliary}


def _unit(
    model: PreparedModel, base: str, place: int, shape: tuple[int, ...]
) -> Array | float:
    """Return how many of the user's units one of Stan's units is."""
    scaling = model.scaling
    if found := formula_of(model.design, base):
        base, of_formula = found[0], scaling.formulas[found[1].parameter]
        units = {"beta": of_formula.population}
        units["beta_free"] = of_formula.population[: len(found[1].free)]
        units["lengthscale"] = of_formula.lengthscale
        if base == "tau":
            units["tau"] = of_formula.factors[place]
        return 1.0 / units.get(base, np.ones(()))
    y = scaling.outcome
    own = ("alpha_c", "alpha_bar", "sigma", "sigma_j", "tau_s")
    if base in (*own, "loading_scale", "product_rms"):
        return y
    if base == "lengthscale":
        return 1.0 / scaling.lengthscale
    if base in scaling.values:
        return 1.0 / scaling.values[base]
    if base == "beta_free":
        return np.asarray(y / scaling.population[: shape[0]])
    if base == "beta":
        per_predictor = y / scaling.population
        return per_predictor.reshape(-1, *[1] * (len(shape) - 1)) * np.ones(shape)
    if base in ("tau", "b", "b_c"):
        return coefficient_units(model, place)
    return 1.0


def coefficient_units(model: PreparedModel, place: int) -> Array:
    """Return the same for the coefficients of a factor's groups, ``(D,)``."""
    own = model.scaling.outcome / model.scaling.factors[place]
    return np.tile(own, len(model.design.factors[place].coefficients) // len(own))


def _transform(
    model: PreparedModel,
    data: Mapping[str, Any],
    name: str,
    shape: tuple[int, ...],
    unit: Array | float,
) -> Transform:
    """Return how a parameter follows from unconstrained numbers."""
    base, place = base_and_place(name)
    found = formula_of(model.design, base)
    if base == "L_Omega" or (found and found[0] == "L_Omega"):
        return CorrelationCholesky()
    if base == "z_loadings":
        return CovarianceCholesky()
    is_cutpoint = base in ("cutpoint_c", "cutpoint_bar")
    if is_cutpoint and model.structure.has_ordered_cutpoints:
        return Ordered()
    own = base.removesuffix("_free")
    if base == "log_sigma" or (own == "beta" and model.structure.standardized):
        return Shifted(data[f"{own}_offset"], data[f"{own}_multiplier"])
    if base in ("beta_local", "beta_global", "beta_slab", "product_rms", "score_rms"):
        return Between(0.0)
    if base == "tau_root" or not (rows := priors_of(model, base, place)):
        return Between()
    if found and found[0] == "alpha_c" and not rows[0].prior.is_bounded:
        return Shifted(data.get("log_unit", 0.0), 1.0)
    lower, upper = np.transpose([bounds_of(row) for row in rows])
    if base == "beta":  # members go down the columns
        lower, upper = (each.reshape(shape, order="F") for each in (lower, upper))
    elif not shape:
        lower, upper = lower[0], upper[0]
    return Between(lower / unit, upper / unit)


def priors_of(model: PreparedModel, base: str, place: int) -> list[PriorRow]:
    """Return the priors of a parameter's members; one row may stand for all of them."""
    own = _CLASS.get(base, base)
    if found := formula_of(model.design, base):
        own = f"{_CLASS.get(found[0], found[0])}_{found[1].parameter}"
        own = f"{own}_{place + 1}" if place else own
        return [row for row in model.priors if row.parameter_class == own]
    own = f"{own}_{place + 1}" if place else own
    rows = {row.label: row for row in model.priors if row.parameter_class == own}
    design, labels = model.design, list[Any](rows)
    if base in ("beta", "beta_free"):
        labels = list(design.mean.free)
        if model.spec.is_categorical:
            labels = [f"{c}, {k}" for c in design.categories[1:] for k in labels]
    elif base in ("tau", "b", "b_c") and rows:
        labels = list(design.factors[place].coefficients)
    return [rows[label] for label in labels]


def bounds_of(row: PriorRow) -> tuple[float, float]:
    """Return between which values a parameter is, in the user's units."""
    least, most = class_of(row.parameter_class).bounds
    if not row.prior.is_bounded:
        return least, most
    return max(row.prior.bounds[0], least), min(row.prior.bounds[1], most)
