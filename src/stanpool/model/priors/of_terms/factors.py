"""Default priors of latent factors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stanpool.base.errors import SpecError, quote
from stanpool.data.design.predictors.level_predictors import LevelMeans
from stanpool.language.prior import Prior
from stanpool.model.priors.default_scales import DefaultPrior, positive_or_one

RULE = "default: sd 1 / sd(x), where scores have a spread of 1 about their means"


def means_with_defaults(means: LevelMeans, rank: int) -> Iterator[DefaultPrior]:
    """Yield class, label, names (most specific first), default and its rule.

    All factors have the same, so that a rotation of the factors changes nothing.

    Parameters
    ----------
    means
        The predictors of what levels have on the factors.
    rank
        The number of factors.
    """
    for factor in range(1, rank + 1):
        for column, label in enumerate(means.labels):
            x = means.levels[means.of[column]][:, column]
            spread = positive_or_one(float(np.std(x, ddof=1)))
            prior = Prior("normal", (0.0, float(f"{1.0 / spread:.3g}")))
            own = f"{label}, {factor}"
            names = [f"beta_factors[{own}]", f"beta_factors[{label}]", "beta_factors"]
            yield "beta_factors", own, names, prior, RULE


def scales_with_defaults(rank: int, prior: Prior, rule: str) -> Iterator[DefaultPrior]:
    """Yield the same of the scale of each factor of three columns or more.

    Parameters
    ----------
    rank
        The number of factors.
    prior, rule
        Their default, which is the same for all, and its rule.
    """
    for factor in map(str, range(1, rank + 1)):
        names = [f"factor_scale[{factor}]", "factor_scale"]
        yield "factor_scale", factor, names, prior, rule


def check_symmetric(name: str, parameter_class: str, label: str, prior: Prior) -> None:
    """Refuse a prior that would change with a rotation, or the order, of the factors.

    Parameters
    ----------
    name
        What the user set it on.
    parameter_class, label
        Whose prior it is.
    prior
        The prior.

    Raises
    ------
    SpecError
        If that of coefficients is not normal about 0, or the prior is not the same for
        all factors.
    """
    stated = f"priors[{quote(name)}] = {quote(str(prior))}"
    if parameter_class == "factor_scale":
        if name == f"factor_scale[{label}]":
            raise SpecError(
                f"{stated}: factors have no order, so that their scales have the same "
                "prior. Set it on 'factor_scale'."
            )
        if prior.is_bounded or prior.is_constant:
            raise SpecError(
                f"{stated}: scales of factors have no bounds, and are no constants. "
                "Choose a distribution without, such as exponential(1)."
            )
        return
    if prior.distribution != "normal" or prior.is_bounded or prior.arguments[0] != 0.0:
        raise SpecError(
            f"{stated}: factors may be rotated, and only a normal prior about 0 on the "
            "coefficients of their predictors stays what it is. Use normal(0, 1)."
        )
    if name == f"{parameter_class}[{label}]":
        of_all = f"{parameter_class}[{label.rpartition(', ')[0]}]"
        raise SpecError(
            f"{stated}: factors may be rotated, so that a predictor has the same prior "
            f"for all of them. Set it on {quote(of_all)}."
        )
