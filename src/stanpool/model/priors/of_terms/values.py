"""Default priors of predictors whose values are not all known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stanpool.data.design.predictors.uncertain import UncertainDesign
from stanpool.language.prior import Prior
from stanpool.model.priors.default_scales import (
    PC_PRIOR,
    RSTANARM,
    DefaultPrior,
    positive_or_one,
)


def values_with_defaults(design: UncertainDesign) -> Iterator[DefaultPrior]:
    """Yield class, label, names (most specific first), default and its rule.

    Those of the values are on the scale of what was observed; those of coefficients are
    as of an outcome that these values are.

    Parameters
    ----------
    design
        What was observed of the predictors.
    """
    by_predictor = zip(design.x.T, design.is_seen.T, strict=True)
    seen = [values[is_seen] for values, is_seen in by_predictor]
    spreads = [positive_or_one(float(np.std(each, ddof=1))) for each in seen]
    names = design.names
    for name, x, sd in zip(names, seen, spreads, strict=True):
        prior = Prior("normal", (_round(float(np.mean(x))), _round(2.5 * sd)))
        rule = f"default: 2.5 sd(x) about mean(x) ({RSTANARM})"
        yield "mean_x", name, [f"mean_x[{name}]", "mean_x"], prior, rule
    for name, sd in zip(names, spreads, strict=True):
        prior = Prior("exponential", (_round(1.0 / sd),))
        rule = f"default: mean sd(x) ({PC_PRIOR})"
        yield "sd_x", name, [f"sd_x[{name}]", "sd_x"], prior, rule
    for label, of, z in zip(design.labels, design.of, design.X.T, strict=True):
        spread = positive_or_one(float(np.std(z, ddof=1)))
        prior = Prior("normal", (0.0, _round(2.5 * spreads[of] / spread)))
        members = [f"beta_x[{label}]", f"beta_x[{names[of]}]", "beta_x"]
        rule = f"default: 2.5 sd(x) / sd(z) ({RSTANARM})"
        yield "beta_x", label, members, prior, rule


def _round(value: float) -> float:
    """Round to three significant digits: a prior is not more exact than that."""
    return float(f"{value:.3g}")
