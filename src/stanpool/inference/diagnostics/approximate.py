"""The diagnosis of draws of an approximation, which has no Markov chains.

References
----------
.. [1] Vehtari, Simpson, Gelman, Yao and Gabry (2024). Pareto smoothed importance
   sampling. Journal of Machine Learning Research 25(72), 1-58.
.. [2] Yao, Vehtari, Simpson and Gelman (2018). Yes, but did it work? Evaluating
   variational inference. Proceedings of Machine Learning Research 80, 5581-5590.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stanpool.inference.diagnostics.checks import (
    check_finite,
    check_log_density,
    measure_mixing,
)
from stanpool.inference.diagnostics.diagnosis import Advice, Diagnosis, Finding, Level
from stanpool.inference.diagnostics.learned import check_learned
from stanpool.posterior.recenter import center_fit

if TYPE_CHECKING:
    from stanpool.model.fit_result import Approximation, FitResult

# Of so few groups, the data hardly tell the scale from 0, and that of the marginal
# posterior is not near a normal distribution either.
_FEW_GROUPS = 10
_VEHTARI = "Vehtari et al. 2024"
_OF_CHAINS = {
    "r_hat": "R-hat does",
    "ess": "Effective sample sizes of chains do",
    "divergences": "Divergent transitions do",
    "e_bfmi": "E-BFMI does",
}


def diagnose_approximation(
    fit: FitResult,
    approximation: Approximation,
    *,
    subject: str,
    can_integrate: bool,
) -> Diagnosis:
    """Say whether draws of an approximation can be trusted.

    Parameters
    ----------
    fit, approximation
        The fit, and what its draws are of.
    subject
        A short description of the fit.
    can_integrate
        Whether the model has a marginal form.
    """
    mixed = measure_mixing(fit)
    found = [
        check_pareto_k(approximation),
        check_finite(mixed),
        *check_log_density(fit.engine),
        *_inapplicable(),
    ]
    if not fit.prior_only:
        found += check_learned(center_fit(fit).posterior, fit.model.priors, mixed)
    advice = []
    if not approximation.is_good:
        advice = list(_advise(fit, can_integrate=can_integrate))
    return Diagnosis(f"{subject}, {approximation.named}", tuple(found), tuple(advice))


def check_pareto_k(approximation: Approximation) -> Finding:
    """Check that importance sampling can correct an approximation [1]_ [2]_."""
    k, limit = approximation.pareto_k, approximation.limit
    level: Level = "passed" if approximation.is_good else "problem"
    named = approximation.named
    worth = (
        f"{approximation.proposals:,} draws of it are worth as much as "
        f"{approximation.effective:,.0f} from the posterior"
    )
    if not approximation.is_good:
        said = (
            f"the {named} is too far from the posterior for importance sampling to "
            "correct it. The draws are those of the approximation, and cannot be "
            "trusted."
        )
    elif approximation.is_weighted:
        said = f"importance sampling corrects the {named}; {worth}."
    else:
        said = (
            f"the {named} is near the posterior; {worth}. The draws are those of the "
            "approximation, which method='laplace' corrects by importance sampling."
        )
    sentence = f"Pareto k-hat is {k:.2f} (limit {limit:.2f}): {said}"
    return Finding("pareto_k", level, k, limit, _VEHTARI, sentence)


def _inapplicable() -> Iterator[Finding]:
    """Name the checks that say nothing about independent draws."""
    for check, said in _OF_CHAINS.items():
        nan = float("nan")
        sentence = f"{said} not apply: the draws are independent, not Markov chains."
        yield Finding(check, "n/a", nan, nan, "Vehtari et al. 2021", sentence)


def _advise(fit: FitResult, *, can_integrate: bool) -> Iterator[Advice]:
    """Say what to do about an approximation that is too far from the posterior."""
    yield Advice(
        "Sample with NUTS",
        "no number of draws corrects this approximation.",
        {"method": "nuts"},
    )
    sizes = [len(each.labels) for each in fit.model.design.factors]
    may_help = can_integrate and min(sizes, default=0) > _FEW_GROUPS
    if may_help and fit.model.parameterization != "marginal":
        yield Advice(
            "Integrate the groups' coefficients out",
            "the posterior of the few parameters that remain is nearer to a normal "
            "distribution, and the coefficients are then drawn exactly.",
            {"parameterization": "marginal"},
        )
