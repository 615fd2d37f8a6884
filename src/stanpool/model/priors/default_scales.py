r"""How wide default priors are, by the outcome, the link and the number of predictors.

On the scale of the outcome itself, or of its logarithm (identity links; lognormal
outcomes are gaussian on the log scale, and have the priors of ``log(y) ~ ...``) a wide
prior does no harm, and each coefficient has its own: rstanarm's rule [1]_. Behind a
link it does: the variances of all coefficients add up in the linear predictor, and an
exponential or a logistic function turns a few units too many into counts of millions
and into probabilities of 0 and 1. There the linear predictor has a budget [2]_ [3]_, in
units of the link's own, whatever the number of predictors, their units and their zeros:

=====================  =====================================================
part                   standard deviation of the linear predictor
=====================  =====================================================
intercept              1 unit, about the link of the outcome's mean
K predictors together  1 unit: :math:`1 / \sqrt{K}` for each
D varying together     :math:`1 / \sqrt{2}` unit: each scale is exponential
                       of mean :math:`1 / (2 \sqrt{D})`, whose square has
                       the expectation :math:`1 / (2 D)`
=====================  =====================================================

For independent coefficients :math:`\beta_k \sim N(0, s_k)` of predictors about their
means, the prior variance of the linear predictor, averaged over the rows, is
:math:`\sum_k s_k^2 \operatorname{var}(x_k)`, however the predictors are correlated. So
:math:`s_k = u / (\sqrt{K} \operatorname{sd}(x_k))` makes it :math:`u^2`. The unit u is

* of a probability the standard deviation of the linear predictor when the probability
  is uniform, which is that of the latent error, too: :math:`\pi / \sqrt{3}` (logit), 1
  (probit), :math:`\pi / \sqrt{6}` (cloglog). Predictors then explain about half of the
  variance of the latent outcome, the middle of a uniform prior on R2 [2]_;
* of a log link :math:`\sqrt{\log(1 + (\operatorname{sd}(y) / \bar y)^2)}`, the standard
  deviation of the logarithm of a lognormal variable with the mean and the standard
  deviation of the outcome (of outcomes over exposures, weighted by these, where there
  are any). It bounds that of the linear predictor, since
  :math:`\operatorname{var}(E(y \mid x)) \le \operatorname{var}(y)`.

Where nothing takes up the level, as in ``y ~ 0 + x``, coefficients must: the unit is
then about 0, :math:`\sqrt{u^2 + \text{location}^2}`, and so are the predictors.

References
----------
.. [1] Gabry and Goodrich. Prior distributions for rstanarm models (vignette).
.. [2] Yanchenko, Bondell and Reich (2025). The R2D2 prior for generalized linear mixed
   models. The American Statistician 79(1), 40-49: a prior on the variance of the linear
   predictor, divided among predictors and groups. Here the variance is fixed and the
   shares are equal, so that priors stay independent.
.. [3] Gabry, Simpson, Vehtari, Betancourt and Gelman (2019). Visualization in Bayesian
   workflow. Journal of the Royal Statistical Society A 182(2), 389-402: priors that are
   vague for each coefficient and absurd together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from stanpool.data.design.design import Design
from stanpool.data.design.outcome import is_inner
from stanpool.language.family import FAMILIES, FamilyParameter
from stanpool.language.model_spec import ModelSpec
from stanpool.language.prior import Prior

DefaultPrior = tuple[str, str | None, list[str], Prior, str]
"""Class, label, names (most specific first), default and its rule of a parameter."""

_UNITS: Mapping[str, tuple[float, str]] = {
    "logit": (math.pi / math.sqrt(3.0), "pi/sqrt(3)"),
    "probit": (1.0, "1"),
    "cloglog": (math.pi / math.sqrt(6.0), "pi/sqrt(6)"),
    "tan_half": (1.0, "1"),
}
_FARTHEST = 3.0  # direction that intercepts of angles are located at
# Where rules of default priors come from, as tables of priors cite it.
RSTANARM = "rstanarm"
PC_PRIOR = "Simpson et al. 2017"
_R2D2 = "Yanchenko et al. 2025"


@dataclass(frozen=True)
class DefaultScales:
    """The numbers of a model's default priors, and the rules that they come from.

    Attributes
    ----------
    locations
        Of the intercepts: one, or one for each category but the reference.
    intercept
        The standard deviation of their priors.
    predictor
        The same of a coefficient times the spread of its predictor.
    group
        The mean of a population scale times the spread of its predictor.
    unit
        Of the linear predictor.
    about_zero
        Whether the spread of predictors is about 0 and not about their means.
    rules
        In words, of ``"intercept"``, ``"predictor"``, ``"group"``, ``"far"`` (a group's
        coefficient of a predictor that is far from 0), ``"special"`` (terms without
        predictors) and ``"unit"``.
    """

    locations: tuple[float, ...]
    intercept: float
    predictor: float
    group: float
    unit: float
    about_zero: bool
    rules: Mapping[str, str]

    def spread(
        self, design: Design, column: np.ndarray, *, about_zero: bool = False
    ) -> float:
        """Return the spread of a predictor, or 1 where there is none."""
        sd = positive_or_one(design.sd_of(column))
        if about_zero or self.about_zero:
            return math.hypot(sd, design.mean_of(column))
        return sd


def default_scales(spec: ModelSpec, design: Design) -> DefaultScales:
    """Return what default priors are scaled by.

    Parameters
    ----------
    spec, design
        The model, and its data with centered predictors.
    """
    modelled = _modelled(spec, design)
    locations = _locations(spec, modelled)
    unit, named = _unit(spec, modelled)
    about_zero = not _has_level(spec, design)
    if about_zero:
        unit = math.hypot(unit, math.hypot(*locations) / math.sqrt(len(locations)))
        named = f"sqrt({named}^2 + location^2)"
    x, z = ("rms(x)", "rms(z)") if about_zero else ("sd(x)", "sd(z)")
    scales = partial(
        DefaultScales, locations=locations, unit=unit, about_zero=about_zero
    )
    if spec.link_name == "identity":
        return scales(
            intercept=2.5 * unit,
            predictor=2.5 * unit,
            group=unit,
            rules={
                "unit": named,
                "intercept": f"2.5 {named} ({RSTANARM})",
                "predictor": f"2.5 {named} / {x} ({RSTANARM})",
                "group": f"mean {named} / {z} ({PC_PRIOR})",
                "far": f"mean {named} / rms(z) ({PC_PRIOR})",
                "special": f"mean {named} ({PC_PRIOR})",
            },
        )
    predictors, varying = _counts(spec, design)
    of_all = "" if varying == 1 else f" / sqrt({varying})"
    return scales(
        intercept=unit,
        predictor=unit / math.sqrt(max(predictors, 1)),
        group=unit / (2.0 * math.sqrt(max(varying, 1))),
        rules={
            "unit": named,
            "intercept": f"{named} about {_located(spec)} ({_R2D2})",
            "predictor": f"{named}"
            + ("" if predictors == 1 else f" / sqrt({predictors})")
            + f" / {x} ({_R2D2})",
            "group": f"mean {named} / 2{of_all} / {z} ({_R2D2})",
            "far": f"mean {named} / 2{of_all} / rms(z) ({_R2D2})",
            "special": f"mean {named} / 2{of_all} ({_R2D2})",
        },
    )


def positive_or_one(value: float) -> float:
    """Return a spread, or 1 where there is none."""
    return value if math.isfinite(value) and value > 0 else 1.0


def residual_scale(spec: ModelSpec, design: Design) -> float:
    """Return the scale of the outcome, or of its log where that is what is modelled."""
    design = _modelled(spec, design)
    return positive_or_one(design.sd_of(design.y))


def _modelled(spec: ModelSpec, design: Design) -> Design:
    """Return the design of the outcomes that the linear predictor is about.

    Amounts of 0 have a probability of their own, and so have proportions at an end.
    What is left is on the scale of the logarithm where that is what is modelled.
    """
    family = FAMILIES[spec.family]
    if family.apart:
        design = design.take(np.flatnonzero(is_inner(family, design.y)))
    return replace(design, y=np.log(design.y)) if family.is_of_logs else design


def outcome_spread(spec: ModelSpec) -> str:
    """Write the spread of the outcomes that the linear predictor is about."""
    y = _named(spec)
    return f"sd(log({y}))" if FAMILIES[spec.family].is_of_logs else f"sd({y})"


def _named(spec: ModelSpec) -> str:
    """Write which outcomes the linear predictor is about."""
    inner = {"positive": "y[y > 0]", "proportion": "y[0 < y < 1]"}
    family = FAMILIES[spec.family]
    return inner[family.inner_outcome] if family.apart else "y"


def parameter_unit(own: FamilyParameter, design: Design) -> float:
    """Return the mean outcome for a parameter on the outcome's scale, else 1."""
    return positive_or_one(design.mean_of(design.y)) if own.has_outcome_units else 1.0


def _has_level(spec: ModelSpec, design: Design) -> bool:
    """Say whether intercepts or cutpoints take up the level of the outcome."""
    own = spec.pooling == "none" and design.factors[0].varying[0] == "Intercept"
    return design.intercept or own or FAMILIES[spec.family].has_cutpoints


def _counts(spec: ModelSpec, design: Design) -> tuple[int, int]:
    """Count the predictors, and the coefficients of groups that have a scale."""
    varying = sum(len(factor.varying) for factor in design.factors)
    predictors = len(design.mean.free)
    if spec.pooling == "none":
        # Groups have coefficients of their own, under the priors of a population's.
        slopes = [label for label in design.factors[0].varying if label != "Intercept"]
        return predictors + len(slopes), 1
    others = len(design.mean.scaled) + sum(term.scales for term in design.special)
    return predictors, varying + others


def _located(spec: ModelSpec) -> str:
    """Say where intercepts are located."""
    if FAMILIES[spec.family].is_of_logs:
        return f"mean(log({_named(spec)}))"
    if spec.is_categorical:
        return "log(n / n of the reference)"
    return f"{spec.link_name}(mean({_named(spec)}))"


def _unit(spec: ModelSpec, design: Design) -> tuple[float, str]:
    """Return the unit of the linear predictor, and how it is written."""
    if spec.link_name in _UNITS:
        return _UNITS[spec.link_name]
    if spec.link_name == "log":
        _, variation = _rate(design)
        unit = positive_or_one(math.sqrt(math.log1p(variation)))
        return unit, f"sqrt(log(1 + cv({_named(spec)})^2))"
    return positive_or_one(design.sd_of(design.y)), outcome_spread(spec)


def _locations(spec: ModelSpec, design: Design) -> tuple[float, ...]:
    """Return where intercepts lie: the outcome's mean through the link."""
    # Loaded here: SciPy takes long, and exact samplers import this module without it.
    from stanpool.families.angles import mean_direction
    from stanpool.families.functions import LINKS

    offset = 0.0 if design.offset is None else design.mean_of(design.offset)
    if spec.link_name == "identity":
        return (design.mean_of(design.y) - offset,)
    kind = FAMILIES[spec.family].inner_outcome
    if kind == "ordered":
        return (0.0,)
    if kind == "angle":
        # Opposite to 0 the link has no bound.
        direction = np.clip(mean_direction(design.y), -_FARTHEST, _FARTHEST)
        return (float(LINKS[spec.link_name].apply(direction)) - offset,)
    if kind == "categories":
        sizes = np.bincount(design.y, minlength=len(design.categories))
        reference, *others = np.log(np.maximum(sizes, 0.5))
        return tuple(float(each - reference) for each in others)
    if spec.link_name == "log":
        return (_rate(design)[0],)
    mean = design.mean_of(design.y)
    if kind != "proportion":
        # Half an event where there is none, or nothing else.
        trials = 1.0 if design.trials is None else design.mean_of(design.trials)
        half = 0.5 / float(np.sum(_row_sizes(design)))
        mean = min(max(mean, half), trials - half) / trials if trials > half else 0.5
    return (float(LINKS[spec.link_name].apply(mean)) - offset,)


def _rate(design: Design) -> tuple[float, float]:
    """Return the log of the mean outcome, or rate, and its squared variation.

    Rates are outcomes over exposures, each with its exposure as a weight, so that their
    mean is the sum of outcomes over that of exposures.
    """
    n = _row_sizes(design)
    y, offset = design.y / np.sqrt(n), np.zeros(1)
    if design.offset is not None:
        offset = design.offset / np.sqrt(n)
    largest = float(np.max(offset))
    with np.errstate(all="ignore"):
        exposure = np.exp(offset - largest)
        exposed = float(np.sum(n * exposure))
        mean = (float(n @ y) or 0.5) / exposed  # half an event where there is none
        squares = n * exposure * np.square(y / exposure / mean - 1.0)
        variation = float(np.sum(squares)) / exposed
    if not mean > 0:  # of gaussian outcomes
        return 0.0, math.nan
    return math.log(mean) - largest, variation


def _row_sizes(design: Design) -> np.ndarray:
    """Return how many rows each row of the design stands for."""
    return np.ones(len(design.y)) if design.ones is None else design.ones**2
