r"""Default priors of the coefficients of parameters that have formulas.

They are on the scale of the link. Where predictors have their means a parameter is
about what it is without a formula: the intercept has the mean and the standard
deviation that the linked parameter has under its prior as one number. Predictors and
groups have a budget, as behind the links of means: all predictors together change the
linear predictor by one unit, and groups by :math:`1 / \\sqrt{2}` unit, where the unit
is 1 of a logarithm, :math:`\\pi / \\sqrt{3}` of a logit, and the intercept's standard
deviation where there is no link. So a residual scale is hardly ever more than a hundred
times what it is on average, and outcomes drawn from the prior do not overflow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from stanpool.data.design.covariance.roots import AutoregressiveRoot
from stanpool.data.design.design import FactorDesign, ParameterDesign
from stanpool.language.prior import Prior
from stanpool.model.priors.default_scales import DefaultPrior, positive_or_one
from stanpool.model.priors.of_terms.lengthscales import lengthscales_with_defaults
from stanpool.model.priors.of_terms.steps import steps_with_defaults

_UNITS = {"log": 1.0, "logit": math.pi / math.sqrt(3.0)}
# Of Student-t populations of groups.
DEGREES_OF_FREEDOM = (
    Prior("gamma", (2.0, 0.1)),
    "default: gamma(2, 0.1) (Juarez and Steel 2010)",
)
_SAME = 1e-9  # of a sum of columns and 1


def parameters_of_formula(
    own: ParameterDesign, number: Prior
) -> Iterator[DefaultPrior]:
    """Yield class, label, names (most specific first), default and its rule.

    Parameters
    ----------
    own
        The linear predictor of the parameter.
    number
        The default prior of the parameter where it is one number.
    """
    name, scale = own.parameter, _scale_of(own)
    location, spread = _moments(number)
    unit = _UNITS.get(own.link, spread)
    level_rule = f"default: mean and sd of {scale} under {number}"
    if own.intercept:
        names = [f"Intercept_{name}", f"{name}.Intercept"]
        yield f"Intercept_{name}", None, names, _normal(location, spread), level_rule
    levels = _makes_one(own)
    has_level = own.intercept or bool(levels.any())
    # Where nothing else takes up the level, predictors must, as those of means do.
    whole = unit if has_level else math.hypot(unit, location)
    share = whole / math.sqrt(max(len(own.free), 1))
    for label, column, level in zip(own.free, own.X.T, levels, strict=False):
        names = [f"beta_{name}[{label}]", f"{name}.beta[{label}]"]
        names += [f"beta_{name}", f"{name}.beta"]
        size = math.hypot(
            float(np.std(column, ddof=1)), column.mean() * (not has_level)
        )
        prior = _normal(0.0, share / positive_or_one(size))
        rule = f"default: all predictors change {scale} by {_written(whole)} together"
        if level:
            prior, rule = _normal(location * level, spread * abs(level)), level_rule
        yield f"beta_{name}", label, names, prior, rule
    varying = len(own.scaled) + sum(len(factor.varying) for factor in own.factors)
    mean = unit / (2.0 * math.sqrt(max(varying, 1)))
    for each in own.scaled:
        names = [f"tau_s_{name}[{each.name}]", f"tau_s_{name}"]
        rule = f"default: mean {_written(mean)}, of {scale}"
        prior = Prior("exponential", (_round(1.0 / mean),))
        yield f"tau_s_{name}", each.name, names, prior, rule
    yield from lengthscales_with_defaults(own, f"_{name}")
    yield from steps_with_defaults(own, f"_{name}")
    for number_of, factor in enumerate(own.factors, 1):
        end = f"_{number_of}" if number_of > 1 else ""
        yield from _scales(own, factor, end, mean)
        if factor.correlated:
            names = [f"Omega_{name}_{factor.factor}", f"Omega_{name}"]
            rule = "default: lkj(2) (Stan User's Guide)"
            yield f"Omega_{name}{end}", None, names, Prior("lkj", (2.0,)), rule
        if factor.population == "student_t":
            names = [f"nu_{name}_{factor.factor}"]
            yield f"nu_u_{name}{end}", None, names, *DEGREES_OF_FREEDOM
        if factor.has_rho:
            names = [f"rho_{name}_{factor.factor}"]
            yield f"rho_u_{name}{end}", None, names, *dependence_prior(factor)


def dependence_prior(factor: FactorDesign) -> tuple[Prior, str]:
    """Return the default prior of the parameter of a covariance between groups.

    It is uniform. Of an autoregression the correlation over the shortest gap is
    uniform, whatever the unit of time is.
    """
    root = factor.root
    if not isinstance(root, AutoregressiveRoot):
        return Prior("beta", (1.0, 1.0)), "default: uniform"
    shortest = float(root.gaps[root.gaps > 0].min(initial=np.inf))
    shape = shortest if np.isfinite(shortest) else 1.0
    rule = "default: uniform on the correlation over the shortest gap"
    return Prior("beta", (_round(shape), 1.0)), rule


def _scales(
    own: ParameterDesign, factor: FactorDesign, end: str, mean: float
) -> Iterator[DefaultPrior]:
    """Yield the scales of a factor's coefficients, and their mean for a unit spread."""
    stem = f"tau_{own.parameter}_{factor.factor}"
    size = float(np.sqrt(factor.variances_of_groups[factor.sizes > 0].mean()))
    for label, column in zip(factor.varying, factor.Z.T, strict=True):
        spread = 1.0
        if label != "Intercept":
            spread = positive_or_one(float(np.std(column, ddof=1)))
        names = [f"{stem}[{label}]", stem, f"tau_{own.parameter}"]
        prior = Prior("exponential", (_round(spread * size / mean),))
        rule = f"default: mean {_written(mean)} / sd(z), of {_scale_of(own)}"
        yield f"tau_{own.parameter}{end}", label, names, prior, rule


def _scale_of(own: ParameterDesign) -> str:
    """Write a parameter on the scale of its link."""
    return own.parameter if own.link == "identity" else f"{own.link}({own.parameter})"


def _makes_one(own: ParameterDesign) -> np.ndarray:
    """Return what to multiply columns by so that they sum up to 1, or 0.

    Without an intercept, columns of the levels of a factor take up the level of the
    parameter, each as if it was the intercept.
    """
    none = np.zeros(own.X.shape[1])
    if own.intercept or not len(none):
        return none
    found = np.linalg.lstsq(own.X, np.ones(len(own.X)), rcond=None)[0]
    if np.abs(own.X @ found - 1.0).max() > _SAME:
        return none
    return np.where(np.abs(found) > _SAME, found, 0.0)


def _moments(prior: Prior) -> tuple[float, float]:
    """Return mean and standard deviation of a linked parameter under its prior."""
    # Loaded here: SciPy takes long, and to build other models needs none of it.
    from scipy.special import digamma, polygamma  # type: ignore[import-untyped]

    known = prior.named_arguments
    match prior.distribution:
        case "exponential":
            mean, variance = digamma(1.0) - math.log(known["rate"]), polygamma(1, 1.0)
        case "gamma":
            mean = digamma(known["shape"]) - math.log(known["rate"])
            variance = polygamma(1, known["shape"])
        case "inv_gamma":
            mean = math.log(known["scale"]) - digamma(known["shape"])
            variance = polygamma(1, known["shape"])
        case "beta":
            mean = digamma(known["a"]) - digamma(known["b"])
            variance = polygamma(1, known["a"]) + polygamma(1, known["b"])
        case _:
            mean, variance = known["location"], known["scale"] ** 2
    return float(mean), math.sqrt(variance)


def _normal(location: float, scale: float) -> Prior:
    return Prior("normal", (_round(location), _round(scale)))


def _written(value: float) -> str:
    return f"{value:.3g}"


def _round(value: float) -> float:
    """Round to three significant digits: a prior is not more exact than that."""
    return float(f"{value:.3g}")
