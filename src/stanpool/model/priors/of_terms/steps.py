r"""Default priors of the steps of monotonic effects.

Independent gamma distributions with the same rate have Dirichlet shares, with the
shapes as its concentrations. With shapes of 1 all shares are as likely as each other
[1]_.

References
----------
.. [1] Bürkner and Charpentier (2020). Modelling monotonic effects of ordinal predictors
   in Bayesian regression models. British Journal of Mathematical and Statistical
   Psychology 73(3), 420-451.
"""

from __future__ import annotations

from collections.abc import Iterator

from stanpool.data.design.design import ParameterDesign
from stanpool.language.prior import Prior
from stanpool.model.priors.default_scales import DefaultPrior

_RULE = "default: shares are uniform on the simplex (Bürkner and Charpentier 2020)"


def steps_with_defaults(own: ParameterDesign, end: str) -> Iterator[DefaultPrior]:
    """Yield class, label, names (most specific first), default and its rule.

    Parameters
    ----------
    own
        The linear predictor.
    end
        How names of its parameters end.
    """
    name = f"steps{end}"
    for effect in own.monotonic:
        for label in effect.steps.labels if effect.steps else ():
            names = [f"{name}[{label}]", f"{name}[{effect.name}]", name]
            yield name, label, names, Prior("gamma", (1.0, 1.0)), _RULE
