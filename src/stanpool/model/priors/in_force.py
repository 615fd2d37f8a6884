"""Which prior is in force on each parameter, and why.

Defaults are proper, weakly informative and scaled from the data; none is flat on a
population scale. How wide they are on intercepts, coefficients and population scales,
and so what they say together, is in ``stanpool.model.priors.default_scales``.

References
----------
.. [1] Gabry and Goodrich. Prior distributions for rstanarm models (vignette): where
   the link is the identity ``normal(mean(y), 2.5 sd(y))`` on the intercept,
   ``normal(0, 2.5 sd(y) / sd(x))`` on coefficients; ``exponential(1 / sd(y))`` on the
   residual scale.
.. [2] Simpson, Rue, Riebler, Martins and Sorbye (2017). Penalising model component
   complexity. Statistical Science 32(1), 1-28: an exponential on a population scale.
.. [3] Stan User's Guide, multivariate priors for hierarchical models: ``lkj(2)``.
.. [4] Juárez and Steel (2010). Model-based clustering of non-Gaussian panel data based
   on skew-t distributions. Journal of Business and Economic Statistics 28(1), 52-66:
   ``gamma(2, 0.1)`` on the degrees of freedom; here above 1.
.. [5] Vehtari (2024). A prior for the shape of the negative binomial (case study):
   ``inv_gamma(0.4, 0.3)``, close to the penalised complexity prior of [2]_ whose base
   has no overdispersion. Used alike for the precisions of beta and gamma outcomes.
.. [6] Bürkner and Vuorre (2019). Ordinal regression models in psychology: a tutorial.
   Advances in Methods and Practices in Psychological Science 2(1), 77-101, and brms:
   ``student_t(3, 0, 2.5)`` on cutpoints; here with the scale of the link.
.. [7] Gelman (2006). Prior distributions for variance parameters in hierarchical
   models. Bayesian Analysis 1(3), 515-533: flat on ``tau`` needs three groups.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.errors import (
    PriorWarning,
    SpecError,
    quote,
    quote_list,
    suggestion,
    warn_user,
)
from stanpool.base.other_tools import advice_on_parameter
from stanpool.data.design.centers import centered_design, centers_of
from stanpool.data.design.design import Design, ParameterDesign
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import ModelSpec
from stanpool.language.prior import ParameterClass, Prior, parameter_classes
from stanpool.model.priors.defaults import hyperparameters, parameters_with_defaults
from stanpool.model.priors.of_terms.factors import check_symmetric
from stanpool.model.priors.of_terms.residuals import within_residuals

if TYPE_CHECKING:
    import pandas as pd

SET_BY_USER = "set by the user"


@dataclass(frozen=True)
class PriorRow:
    """The prior in force on one parameter.

    Attributes
    ----------
    parameter
        Its name in the posterior, such as ``beta[floor]``.
    parameter_class, label
        The class it belongs to, numbered from the second factor on (``tau_2``), and
        which member it is (None for a single one).
    prior
        The distribution.
    source
        ``SET_BY_USER``, or ``"default: "`` with the rule and whose it is.
    note
        What the distribution does not say: at which predictors an intercept is
        meant, that it is a half form, that it is improper.
    """

    parameter: str
    parameter_class: str
    label: str | None
    prior: Prior
    source: str
    note: str = ""


@dataclass(frozen=True, repr=False)
class PriorTable:
    """The priors in force and why: a table to read, a sequence of rows to work with.

    Examples
    --------
    >>> from stanpool import Model
    >>> Model("y ~ 1", {"y": [1.0, 2.0, 3.0]}, pooling="complete").priors["sigma"].prior
    Prior('exponential(1)')
    """

    rows: tuple[PriorRow, ...]

    def __iter__(self) -> Iterator[PriorRow]:
        """Go through the rows."""
        return iter(self.rows)

    def __len__(self) -> int:
        """Count the parameters, or classes of them, that have a prior."""
        return len(self.rows)

    def __getitem__(self, parameter: str) -> PriorRow:
        """Return the row of a parameter, such as ``"beta[floor]"``."""
        found = {row.parameter: row for row in self.rows}
        if parameter not in found:
            raise KeyError(
                f"no parameter {quote(parameter)}; the model has "
                f"{quote_list(found, limit=10)}.{suggestion(parameter, found)}"
            )
        return found[parameter]

    def to_frame(self) -> pd.DataFrame:
        """Return the table: parameter, prior, source, note."""
        import pandas as pd

        return pd.DataFrame(
            {
                "parameter": [row.parameter for row in self.rows],
                "prior": [str(row.prior) for row in self.rows],
                "source": [row.source for row in self.rows],
                "note": [row.note for row in self.rows],
            }
        )

    def __repr__(self) -> str:
        """Write the table as text."""
        return self.to_frame().to_string(index=False)

    def _repr_html_(self) -> str:
        """Write the table for notebooks; names are escaped."""
        return self.to_frame().to_html(index=False)


def resolve_priors(
    spec: ModelSpec,
    design: Design,
    *,
    strict: bool = True,
    columns: Iterable[object] = (),
) -> PriorTable:
    """Find the prior of every parameter: the user's most specific one, or a default.

    Parameters
    ----------
    spec, design
        The model and its data; the data scale the defaults.
    strict
        Whether a prior that the user set and that nothing uses is an error or a
        warning, and an improper one a warning; not so when one set of priors serves
        several poolings.
    columns
        The names of the data's columns, of which other models may have coefficients.

    Raises
    ------
    SpecError
        If a name is a parameter of no model of these data, or a prior's support does
        not fit.

    Warns
    -----
    PriorWarning
        If a prior is improper, or on a parameter that only other models have, such as
        ``Omega`` where nothing is correlated.
    """
    given = dict(spec.priors)
    if strict:
        _check_fixed(spec, design)
    used: set[str] = set()
    rows = []
    for parameter_class, label, names, default, rule in parameters_with_defaults(
        spec, centered_design(design)
    ):
        known = [each for name in names for each in _spellings(name, parameter_class)]
        used.update(known)
        found = next((name for name in known if name in given), None)
        prior, source = default, rule
        if found is not None:
            prior = _on_the_scale(found, given)
            source = SET_BY_USER
            _check_support(found, prior, parameter_class, spec)
            prior = within_residuals(design, found, parameter_class, prior)
            if class_of(parameter_class).indexed == "latent" and label is not None:
                check_symmetric(found, parameter_class, label, prior)
        notes = _notes(spec, design, parameter_class, label, prior)
        note = "; ".join(each for each in notes if each)
        rows.append(PriorRow(names[0], parameter_class, label, prior, source, note))
    if strict:
        unused = [name for name in given if name not in used]
        _say_unused(spec, unused, rows, used, {str(each) for each in columns})
    _refuse_half_simplex(rows)
    _refuse_half_shrinkage(rows, design)
    if strict:
        _warn_of_flat(rows, design)
    return PriorTable(tuple(rows))


def _say_unused(
    spec: ModelSpec,
    unused: Sequence[str],
    rows: Sequence[PriorRow],
    used: Collection[str],
    columns: Collection[str],
) -> None:
    """Refuse priors on what no model has; warn of those that other models have."""
    wrong = [name for name in unused if not _is_elsewhere(name, columns)]
    said = (
        f"priors has {quote_list(wrong or unused)}, which pooling={spec.pooling!r} "
        "does not have; its parameters are "
        f"{quote_list([row.parameter for row in rows], 10)}."
    )
    if wrong:
        advice = advice_on_parameter(wrong[0], [row.parameter for row in rows])
        raise SpecError(said + (advice or suggestion(wrong[0], used)))
    if unused:
        advice = advice_on_parameter(unused[0], [row.parameter for row in rows])
        warn_user(f"{said} They change nothing here.{advice}", PriorWarning)


def _is_elsewhere(name: str, columns: Collection[str]) -> bool:
    """Whether other models of the same data could have a parameter of this name.

    Examples
    --------
    >>> [_is_elsewhere(each, {"x", "g"}) for each in ("Omega", "tau_g[x]", "tau_h")]
    [True, True, False]
    """
    classes = "|".join(sorted(parameter_classes(), key=len, reverse=True))
    found = re.fullmatch(rf"({classes})(?:_(.+?))?(\[.+\])?(\^2)?", name, re.DOTALL)
    if not found:
        return False
    if found[4] and found[1] not in ("tau", "sigma"):
        return False
    pieces = re.split(r"[:+*\[\], ]+", f"{found[2] or ''}{found[3] or ''}")
    return all(piece in (*columns, "Intercept", "") for piece in pieces)


def _check_fixed(spec: ModelSpec, design: Design) -> None:
    """Refuse fixed hyperparameters that nothing uses, or of which half is there."""
    if not spec.fixed:
        return
    if spec.pooling != "none":
        raise SpecError(
            f"fixed={quote(dict(spec.fixed))} states the population of the groups' "
            "coefficients, so that they share nothing: it goes with pooling='none'."
        )
    (factor,) = design.factors
    known: set[str] = set()
    for label in factor.varying:
        mean, scale = hyperparameters(factor, label)
        known |= {*mean, *scale}
        found = [
            next((name for name in names if name in dict(spec.fixed)), None)
            for names in (mean, scale)
        ]
        if (found[0] is None) != (found[1] is None):
            there = found[0] or found[1]
            missing = mean[0] if found[0] is None else scale[0]
            raise SpecError(
                f"fixed has {quote(there)} and not {quote(missing)}: a population "
                "is known when its mean and its scale are. Add it."
            )
    for name, _ in spec.fixed:
        if name not in known:
            raise SpecError(
                f"fixed has {quote(name)}; the population of {factor.factor!r} has "
                f"{quote_list(sorted(known), 10)}.{suggestion(name, known)}"
            )


def _spellings(name: str, parameter_class: str) -> tuple[str, ...]:
    """Return a name, and that of its square where a prior may be on a variance."""
    if class_of(parameter_class).name in ("tau", "sigma"):
        return name, f"{name}^2"
    return (name,)


def _on_the_scale(name: str, given: dict[str, Prior]) -> Prior:
    """Return the prior on a scale that a user set on it, or on its square."""
    if not name.endswith("^2"):
        if f"{name}^2" in given:
            raise SpecError(
                f"priors has {quote(name)} and {quote(name + '^2')}: one parameter "
                "has one prior. Drop one of them."
            )
        return given[name]
    prior = given[name]
    if prior.distribution != "inv_gamma":
        raise SpecError(
            f"priors[{quote(name)}] = {quote(str(prior))}: a variance has "
            "the prior inv_gamma(shape, scale). Others are on the scale, "
            f"{quote(name[:-2])}."
        )
    bounds = (
        None if x is None else math.sqrt(max(x, 0.0)) for x in (prior.lb, prior.ub)
    )
    return Prior("sqrt_inv_gamma", prior.arguments, *bounds)


def _notes(
    spec: ModelSpec, design: Design, block: str, label: str | None, prior: Prior
) -> Iterator[str]:
    """Say what a prior's distribution does not."""
    known = class_of(block)
    if prior.distribution == "flat":
        yield "improper"
    if prior.is_constant:
        yield "not estimated"
    least = known.lower or 0.0
    if known.support == "positive" and prior.support == "real":
        if prior.distribution != "flat" and prior.bounds[0] <= least:
            yield f"half: cut off below at {least:g}"
    base, predictor = _predictor_of(design, known.name)
    if base in ("Intercept", "cutpoint"):
        at_means = bool(np.any(predictor.x_bar))
        yield _where(predictor, ("Intercept", *predictor.coefficients), None, at_means)
    elif base == "beta":
        labels = predictor.coefficients
        own = next(x for x in labels if f", {label}".endswith(f", {x}"))
        yield _where(predictor, ("Intercept", *labels), own, False)
    elif base in ("b", "tau", "Omega"):
        number = int(block.removeprefix(known.name).strip("_") or 1) - 1
        factor = predictor.factors[number]
        own = None
        if label is not None:
            own = factor.varying[factor.coefficients.index(label) % len(factor.varying)]
        at_means = base == "b" and own == "Intercept"
        at_means &= bool(np.any(factor.z_bar) or np.any(predictor.x_bar))
        if factor.uncorrelated:
            predictor = replace(predictor, centers=())
        yield _where(predictor, factor.varying, own, at_means)


def _predictor_of(design: Design, name: str) -> tuple[str, ParameterDesign]:
    """Return a class without its parameter, and whose linear predictor it is of."""
    for own in design.formulas:
        if name.endswith(f"_{own.parameter}"):
            return name.removesuffix(f"_{own.parameter}"), own
    return name, design.mean


def _where(
    predictor: ParameterDesign, labels: tuple[str, ...], own: str | None, at_means: bool
) -> str:
    """Say at which predictors a coefficient, or several, are meant."""
    if at_means:
        return "at the predictors' means"
    centers = dict(predictor.centers)
    moved: dict[str, float] = {}
    for label in labels if own is None else (own,):
        moved |= centers_of(label, labels, centers)
    is_intercept = own == "Intercept" or (own is None and "Intercept" in labels)
    if not moved:
        has_predictors = len(labels) > 1
        return "at predictors of 0" if is_intercept and has_predictors else ""
    at = list_centers(moved)
    others = is_intercept and len(labels) > 1 + len(moved)
    return f"at {at}{', other predictors of 0' if others else ''}"


def list_centers(centers: Mapping[str, float]) -> str:
    """Write centers as ``'year' = 2000, 'height' = 150``.

    Examples
    --------
    >>> list_centers({"year": 2000.0})
    "'year' = 2000"
    """
    return ", ".join(f"{quote(label)} = {c:.15g}" for label, c in centers.items())


def _refuse_half_simplex(rows: list[PriorRow]) -> None:
    """Refuse a Dirichlet prior on some cutpoints only."""
    cutpoints = {row.prior for row in rows if row.parameter_class == "cutpoint"}
    dirichlet = [prior for prior in cutpoints if prior.support == "simplex"]
    if dirichlet and len(cutpoints) > 1:
        raise SpecError(
            f"priors: {dirichlet[0]} is on all cutpoints together; write "
            f"priors={{'cutpoint': {str(dirichlet[0])!r}}} and no other on cutpoints."
        )


def _refuse_half_shrinkage(rows: list[PriorRow], design: Design) -> None:
    """Refuse a horseshoe on some coefficients only, or beside smooths."""
    priors = [row.prior for row in rows if row.parameter_class == "beta"]
    shrunk = [prior for prior in priors if prior.support == "shrinkage"]
    if shrunk and (len(shrunk) < len(priors) or design.smooths):
        raise SpecError(
            f"priors: {shrunk[0]} is on all coefficients of the population together, "
            f"without smooths; write priors={{'beta': {str(shrunk[0])!r}}} and no "
            "other on coefficients."
        )
    if len({prior.arguments[1] for prior in shrunk}) > 1:
        raise SpecError("priors: all coefficients of a horseshoe have one slab_df.")


def _warn_of_flat(rows: list[PriorRow], design: Design) -> None:
    """Say loudly that a prior is improper."""
    flat = [row for row in rows if row.prior.distribution == "flat"]
    if not flat:
        return
    said = (
        f"flat prior on {quote_list(row.parameter for row in flat)}: it is improper, "
        "so there is nothing to draw from it, and the posterior may not exist."
    )
    for row in flat:
        if class_of(row.parameter_class).name == "tau":
            factor = design.factors[int(row.parameter_class[4:] or 1) - 1]
            groups = len(factor.labels)
            if groups < 3:
                said += (
                    f" With {groups} groups of {quote(factor.factor)} it does not: "
                    "a scale needs three or more under a flat prior."
                )
    warn_user(said, PriorWarning)


def class_of(block: str) -> ParameterClass:
    """Return the parameter class of a numbered block: ``tau`` of ``tau_2``."""
    return parameter_classes()[re.sub(r"_\d+$", "", block)]


def _check_support(
    name: str, prior: Prior, parameter_class: str, spec: ModelSpec
) -> None:
    """Refuse a prior that lives where its parameter does not."""
    known = class_of(parameter_class)
    fitting = {
        "real": ("real", "bounded", "point"),
        "positive": ("real", "positive", "bounded", "point"),
        "unit": ("bounded", "point"),
        "signed": ("real", "bounded", "point"),
        "correlation": ("correlation",),
    }[known.support]
    if known.name == "beta" and not spec.is_categorical:
        fitting = (*fitting, "shrinkage")
    if known.name == "cutpoint":
        is_ordered = FAMILIES[spec.family].has_ordered_cutpoints
        fitting = ("real", "simplex") if is_ordered else ("real",)
    is_vector_of_categories = spec.is_categorical and (
        known.name in ("Intercept", "beta", "b")
    )
    is_part = spec.pooling == "none" and (
        known.name == "b" or (known.name == "sigma" and spec.residual is not None)
    )
    if (prior.is_bounded and is_vector_of_categories) or (
        prior.is_constant and (is_vector_of_categories or is_part)
    ):
        _refuse_restriction(name, prior, spec)
    if known.name == "cutpoint" and (prior.is_bounded or prior.is_constant):
        _refuse_restriction(name, prior, spec)
    if prior.support not in fitting:
        examples = {
            "real": "normal(0, 1), student_t(4, 0, 1) or, above 0, normal(0, 1, lb=0)",
            "positive": "exponential(1) or normal(0, 1), which is its half form",
            "unit": "beta(1, 1) or uniform(0, 0.5)",
            "signed": "uniform(-1, 1) or normal(0, 0.5)",
            "correlation": "lkj(2)",
        }
        ranges = {
            "real": "positive and negative numbers",
            "positive": "positive numbers",
            "bounded": "numbers in an interval",
            "unit": "numbers from 0 to 1",
            "signed": "numbers from -1 to 1",
            "correlation": "correlation matrices",
            "simplex": "vectors of probabilities",
            "point": "single numbers",
            "shrinkage": "all coefficients of the population together",
        }
        raise SpecError(
            f"priors[{quote(name)}] = {quote(str(prior))}: {prior.distribution} "
            f"is a distribution of {ranges[prior.support]}, and the values of this "
            f"parameter are {ranges[known.support]}. Use {examples[known.support]}."
        )
    _check_ends(name, prior, known)


def _check_ends(name: str, prior: Prior, known: ParameterClass) -> None:
    """Refuse a prior whose ends, or whose constant, are not values of the parameter."""
    (least, most), (lower, upper) = known.bounds, prior.bounds
    stated = f"priors[{quote(name)}] = {quote(str(prior))}"
    if prior.is_constant and not least < lower < most:
        raise SpecError(
            f"{stated}: this parameter is greater than {least:g}"
            + (f" and less than {most:g}." if math.isfinite(most) else ".")
        )
    if upper <= least or lower >= most:
        raise SpecError(
            f"{stated}: it has no values between {least:g} and {most:g}, where the "
            "parameter is. Change its bounds."
        )
    if math.isfinite(lower) and prior.is_bounded and lower < least:
        raise SpecError(
            f"{stated}: its values begin at {lower:g}, and the parameter's at "
            f"{least:g}. Raise its lower bound, or choose another distribution."
        )
    if math.isfinite(upper) and prior.is_bounded and upper > most:
        raise SpecError(
            f"{stated}: its values end at {upper:g}, and the parameter's at "
            f"{most:g}. Lower its upper bound, or choose another distribution."
        )


def _refuse_restriction(name: str, prior: Prior, spec: ModelSpec) -> None:
    """Refuse bounds or a constant where a parameter cannot have them."""
    what = "a constant" if prior.is_constant else "bounds"
    whose = "cutpoints are in order, and"
    if name.partition("[")[0] != "cutpoint":
        whose = "coefficients of groups without pooling"
        if spec.is_categorical:
            whose = "coefficients of categories"
        elif spec.residual is not None:
            whose = "residual scales of groups without pooling"
    raise SpecError(
        f"priors[{quote(name)}] = {quote(str(prior))}: {whose} cannot have {what}. "
        "Choose a distribution without, such as normal(0, 1)."
    )
