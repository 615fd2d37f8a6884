"""The diagnosis of a fit: run the checks, locate the problems, and advise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import stanpool.inference.diagnostics.checks as checks
from stanpool.base.options import POOLING_IN_WORDS
from stanpool.data.compression.integrated_rows import why_not_marginal
from stanpool.inference.diagnostics.advice import advise
from stanpool.inference.diagnostics.approximate import diagnose_approximation
from stanpool.inference.diagnostics.diagnosis import Advice, Diagnosis, Finding
from stanpool.inference.diagnostics.funnel import (
    Funnel,
    check_form,
    check_funnels,
    measure_funnels,
    scales_trade_off,
)
from stanpool.inference.diagnostics.learned import check_learned
from stanpool.inference.diagnostics.processes import check_processes
from stanpool.posterior.convergence import FEWEST_DRAWS
from stanpool.posterior.recenter import center_fit
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    from stanpool.model.fit_result import FitResult

_NOT_SEEN = (
    "These checks say whether the draws can be trusted, and not whether the model "
    "looks like the data: fit.check_outcomes() does."
)


def diagnose(fit: FitResult) -> Diagnosis:
    """Check a fit, and say what is wrong, where, and what to do about it.

    Parameters
    ----------
    fit
        A fit.

    Returns
    -------
    Diagnosis
        It has ``ok``, ``findings`` (checks that did not pass) and ``advice``, and is
        printed as sentences.

    References
    ----------
    .. [1] Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021). Rank-normalization,
       folding, and localization: an improved R-hat for assessing convergence of MCMC.
       Bayesian Analysis 16(2), 667-718.
    .. [2] Betancourt (2017). A conceptual introduction to Hamiltonian Monte Carlo.
       arXiv:1701.02434.
    .. [3] Betancourt and Girolami (2015). Hamiltonian Monte Carlo for hierarchical
       models. In Current Trends in Bayesian Methodology with Applications.
    """
    parameterization, design = fit.model.parameterization, fit.model.design
    can_integrate = not why_not_marginal(fit.model.spec, design)
    if fit.approximation is not None:
        return diagnose_approximation(
            fit,
            fit.approximation,
            subject=_subject(fit),
            can_integrate=can_integrate,
        )
    diverging = fit.sample_stats["diverging"].to_numpy()
    if diverging.shape[1] < FEWEST_DRAWS:
        return _too_short(_subject(fit), diverging.shape[1])
    mixed = checks.measure_mixing(fit)
    funnels: tuple[Funnel, ...] = ()
    trade_off, seen = False, fit
    if parameterization is not None:
        # The sampler sees the scales of centered predictors.
        seen = center_fit(fit)
        funnels = measure_funnels(seen.posterior, diverging, design=seen.model.design)
        trade_off = scales_trade_off(seen.posterior, design=seen.model.design)
    found = _of_sampler(fit, mixed, funnels)
    if not fit.prior_only:
        found += check_learned(seen.posterior, fit.model.priors, mixed)
        found += check_processes(fit)
    ess_per_draw = _smallest_ess(mixed) / diverging.size
    if not any(each.level == "problem" for each in found):
        found += check_form(
            funnels, parameterization=parameterization, ess_per_draw=ess_per_draw
        )
    return Diagnosis(
        subject=_subject(fit),
        checks=tuple(found),
        advice=advise(
            [each for each in found if each.level != "passed"],
            funnels=funnels,
            parameterization=parameterization,
            ess_per_draw=ess_per_draw,
            scales_trade_off=trade_off,
            settings=fit.settings,
            can_integrate=can_integrate,
        ),
        not_seen="" if fit.prior_only else _NOT_SEEN,
    )


def _of_sampler(
    fit: FitResult, mixed: checks.Mixing, funnels: tuple[Funnel, ...]
) -> list[Finding]:
    """Check the sampler's steps and how the chains mixed."""
    stats = fit.sample_stats
    diverging, chains = stats["diverging"].to_numpy(), stats.sizes["chain"]
    return [
        checks.check_divergences(diverging, ess=_smallest_ess(mixed)),
        *check_funnels(funnels, divergences=int(diverging.sum())),
        checks.check_e_bfmi(stats["energy"].to_numpy()),
        checks.check_r_hat(mixed),
        checks.check_ess(mixed, part="bulk", chains=chains),
        checks.check_ess(mixed, part="tail", chains=chains),
        checks.check_tree_depth(
            stats["reached_max_treedepth"].to_numpy(),
            max_treedepth=fit.settings.max_treedepth,
        ),
        checks.check_chains(chains),
        checks.check_finite(mixed),
        *checks.check_rejections(fit.rejections),
        *checks.check_log_density(fit.engine),
    ]


def _smallest_ess(mixed: checks.Mixing) -> float:
    """Return the smallest effective sample size of the bulk."""
    return float(np.fmin.reduce(mixed.ess_bulk))


def _too_short(subject: str, draws: int) -> Diagnosis:
    """Return the diagnosis of a fit that is too short to be checked."""
    sentence = f"Chains of {draws} draws are too short for any check."
    source = "Vehtari et al. 2021"
    return Diagnosis(
        subject,
        (Finding("draws", "problem", draws, FEWEST_DRAWS, source, sentence),),
        (
            Advice(
                "Run longer",
                "each half of a chain must have draws enough to be compared.",
                {"draws": 1000},
            ),
        ),
    )


def _subject(fit: FitResult) -> str:
    subject = POOLING_IN_WORDS[fit.model.spec.pooling].capitalize()
    factors = ", ".join(short_label(each.factor) for each in fit.model.design.factors)
    if factors:
        subject += f" over {factors}"
    form = fit.model.parameterization
    return f"{subject}, {form}" if form else subject
