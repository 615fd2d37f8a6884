"""The families in numbers: log density, mean and random draws of an outcome.

What the Stan templates state, once more in NumPy, for everything that is computed from
draws: predictions, pointwise log likelihood, simulated data. ``family_functions`` are
of a family, ``log_likelihood`` and ``draw_outcomes`` of a model's rows.

Arrays broadcast as NumPy does, so ``(draws, rows)`` predictors go with parameters of
shape ``(draws, 1)`` and outcomes of shape ``(rows,)``.

References
----------
.. [1] Stan Functions Reference 2.35: the densities and their parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from stanpool.base.errors import check_choice
from stanpool.families.angles import von_mises
from stanpool.families.categories import acat, categorical, ordinal, sratio
from stanpool.families.counts import (
    beta_binomial,
    binary,
    binomial,
    negative_binomial,
    poisson,
)
from stanpool.families.functions import LINKS, FamilyFunctions, LinkFunctions
from stanpool.families.location_scale import (
    NORMAL,
    STUDENT_T,
    asymmetric_laplace,
    location_scale,
    skew_normal,
)
from stanpool.families.positive_and_proportions import (
    beta,
    exponential,
    gamma,
    inverse_gaussian,
    weibull,
)
from stanpool.families.zeros import hurdle, zero_inflated, zero_one_inflated
from stanpool.language.family import FAMILIES


@lru_cache(maxsize=64)
def family_functions(family: str, link: str | None = None) -> FamilyFunctions:
    """Return a family in numbers.

    Parameters
    ----------
    family
        A name in ``stanpool.language.family.FAMILIES``.
    link
        One of its links; by default the first.

    Raises
    ------
    SpecError
        If there is no such family, or it has no such link.

    Examples
    --------
    >>> import numpy as np
    >>> poisson = family_functions("poisson")
    >>> poisson.mean(np.log([1.5, 3.0]))
    array([1.5, 3. ])
    >>> poisson.log_density(np.array([0, 2]), np.log([1.5, 3.0])).round(3)
    array([-1.5  , -1.496])
    """
    check_choice("family", family, FAMILIES)
    known = FAMILIES[family].links
    if link is not None:
        check_choice(f"family={family!r}: link", link, known)
    return _BUILDERS[family](LINKS[link or known[0]])


_BUILDERS: Mapping[str, Callable[[LinkFunctions], FamilyFunctions]] = {
    "gaussian": lambda link: location_scale(NORMAL, link),
    "student_t": lambda link: location_scale(STUDENT_T, link),
    "skew_normal": skew_normal,
    "asymmetric_laplace": asymmetric_laplace,
    "von_mises": von_mises,
    "lognormal": lambda link: location_scale(NORMAL, link, is_log=True),
    "gamma": gamma,
    "exponential": exponential,
    "weibull": weibull,
    "inverse_gaussian": inverse_gaussian,
    "bernoulli": binary,
    "binomial": binomial,
    "beta_binomial": beta_binomial,
    "beta": beta,
    "zero_one_inflated_beta": lambda link: zero_one_inflated(beta(link)),
    "poisson": poisson,
    "negative_binomial": negative_binomial,
    "zero_inflated_poisson": lambda link: zero_inflated(poisson(link)),
    "zero_inflated_negative_binomial": lambda link: zero_inflated(
        negative_binomial(link)
    ),
    "hurdle_poisson": lambda link: hurdle(poisson(link), of_counts=True),
    "hurdle_negative_binomial": lambda link: hurdle(
        negative_binomial(link), of_counts=True
    ),
    "zero_inflated_binomial": lambda link: zero_inflated(binomial(link)),
    "hurdle_gamma": lambda link: hurdle(gamma(link), of_counts=False),
    "hurdle_lognormal": lambda link: hurdle(
        location_scale(NORMAL, link, is_log=True), of_counts=False
    ),
    "ordinal": ordinal,
    "sratio": sratio,
    "acat": acat,
    "categorical": categorical,
}
