"""Advice on what to do about a finding, by rules from the literature.

The most useful advice comes first, which is to change the parameterization: with an
unsuitable geometry, smaller steps and longer runs are of little use.

References
----------
.. [1] Betancourt and Girolami (2015). Hamiltonian Monte Carlo for hierarchical models.
   In Current Trends in Bayesian Methodology with Applications. arXiv:1312.0906.
.. [2] Papaspiliopoulos, Roberts and Sköld (2007). A general framework for the
   parametrization of hierarchical models. Statistical Science 22(1), 59-73.
.. [3] Gelman (2006). Prior distributions for variance parameters in hierarchical
   models. Bayesian Analysis 1(3), 515-534.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from stanpool.inference.diagnostics.checks import CHAINS
from stanpool.inference.diagnostics.diagnosis import Advice, Finding
from stanpool.inference.diagnostics.funnel import (
    BREAK_EVEN,
    INEFFICIENT,
    WELL_INFORMED,
    Funnel,
    describe_information,
)
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    from stanpool.engine.values.settings import SampleSettings

_ADAPT_DELTAS = (0.95, 0.99, 0.999)
_LONGEST = 10
_MIXING = {"r_hat", "ess_bulk", "ess_tail"}
_GEOMETRY = {"divergences", "e_bfmi", "tree_depth", "efficiency"}


def advise(
    findings: Sequence[Finding],
    *,
    funnels: Sequence[Funnel],
    parameterization: str | None,
    ess_per_draw: float,
    scales_trade_off: bool,
    settings: SampleSettings,
    can_integrate: bool = False,
) -> tuple[Advice, ...]:
    """Return what to do about problems and notes, the most useful first.

    Parameters
    ----------
    findings
        Problems and notes.
    funnels
        The geometry of each varying coefficient; empty unless pooling is partial.
    parameterization
        The parameterization of the fit; None unless pooling is partial.
    ess_per_draw
        The smallest bulk effective sample size per draw. If it is good, a small
        effective sample size means that the run was short, and not that the geometry is
        unsuitable.
    scales_trade_off
        Whether the data do not distinguish the groups' scale from the residual scale.
    settings
        The settings of the fit.
    can_integrate
        Whether the model has a marginal form.
    """
    # Divergences that are so few that they are only a note need no advice.
    found = {
        each.check: each
        for each in findings
        if (each.check, each.level) != ("divergences", "note")
    }
    advice: list[Advice] = []
    if found.keys() & _GEOMETRY or (
        found.keys() & _MIXING and ess_per_draw < INEFFICIENT
    ):
        advice += _change_form(funnels, parameterization)
        if advice and can_integrate:
            advice.append(_integrate())
        if scales_trade_off:
            advice.append(_separate_scales())
    if not advice:
        scales = "tau" if funnels else "the coefficients"
        advice += _change_sampler(found, settings, prior_of=scales)
    if "learned" in found:
        advice.append(
            _defend_prior([each for each in findings if each.check == "learned"])
        )
    if "chains" in found:
        advice.append(
            Advice(
                f"Run {CHAINS} chains",
                "so that R-hat has something to compare.",
                {"chains": CHAINS},
            )
        )
    if "finite" in found:
        advice.append(
            Advice(
                "Give the quantities that overflow tighter priors",
                "draws that are infinite or missing carry no information.",
            )
        )
    return tuple(advice)


def _change_form(
    funnels: Sequence[Funnel], parameterization: str | None
) -> Iterator[Advice]:
    """Advise another form if the groups' information calls for it."""
    funnels = [each for each in funnels if each.has_forms]
    if not funnels or parameterization not in ("centered", "noncentered"):
        return
    both = next((each for each in funnels if each.groups_differ), None)
    if both is not None:
        yield Advice(
            "Fit the adaptive form",
            "the data of some groups give most of the information about their "
            f"{short_label(both.coefficient)}, and those of others hardly any, so that "
            "neither form suits all of them.",
            {"parameterization": "adaptive"},
        )
    else:
        yield from _take_the_other_form(funnels, parameterization)


def _take_the_other_form(
    funnels: Sequence[Funnel], parameterization: str
) -> Iterator[Advice]:
    """Advise the centered form instead of the noncentered one, or the reverse."""
    if parameterization == "centered":
        least = min(
            funnels, key=lambda each: (not each.has_neck, each.median_information)
        )
        if least.has_neck or least.median_information < BREAK_EVEN:
            yield Advice(
                "Fit the noncentered form",
                f"{describe_information(least)}, and the centered form is a funnel "
                f"that the sampler cannot enter at small {short_label(least.tau)}.",
                {"parameterization": "noncentered"},
            )
    else:
        least = min(funnels, key=lambda each: each.median_information)
        if least.median_information >= WELL_INFORMED:
            yield Advice(
                "Fit the centered form",
                f"{describe_information(least)}, so that the standardized coefficients "
                "of the noncentered form trade off with their mean and scale.",
                {"parameterization": "centered"},
            )


def _integrate() -> Advice:
    return Advice(
        "Or integrate the groups' coefficients out",
        "outcomes are gaussian, so that it is exact, and no funnel is left.",
        {"parameterization": "marginal"},
    )


def _separate_scales() -> Advice:
    return Advice(
        "Make the two scales distinguishable",
        "tau and sigma trade off, as they do if most groups have a single row: the "
        "data determine only their sum. Give one of them an informative prior, or "
        "drop the group term (Gelman 2006).",
    )


def _defend_prior(findings: Sequence[Finding]) -> Advice:
    names = ", ".join(short_label(each.parameters[0]) for each in findings[:3])
    return Advice(
        f"State a prior on {names} that you can defend",
        "the data say little about its size, so that its posterior, and that of what "
        "depends on it, follows from the prior; compare_scale_priors shows the results "
        "of other priors. Or drop the term, or get more groups (Gelman 2006).",
    )


def _change_sampler(
    found: dict[str, Finding], settings: SampleSettings, *, prior_of: str
) -> Iterator[Advice]:
    """Advise smaller steps, larger trees or longer runs, in this order."""
    longer = {}
    if found.keys() & (_MIXING | {"e_bfmi"}):
        longer = {"draws": settings.draws * _times_longer(found)}
        if "r_hat" in found:
            longer["warmup"] = settings.warmup * 2
    if "divergences" in found:
        smaller = [each for each in _ADAPT_DELTAS if each > settings.adapt_delta]
        if smaller:
            yield Advice(
                "Take smaller steps" + (", and more of them" if longer else ""),
                "the form suits the data, so that divergences call for a higher target "
                "acceptance rate; if they remain, the next suspect is the prior on "
                f"{prior_of}.",
                {"adapt_delta": smaller[0], **longer},
            )
        else:
            yield Advice(
                f"Give {prior_of} a more informative prior",
                "divergences remain although steps are as small as is practical "
                "(Gelman 2006).",
            )
        return
    if "tree_depth" in found:
        yield Advice(
            "Allow longer trajectories",
            "some were cut off before they turned.",
            {"max_treedepth": settings.max_treedepth + 2},
        )
    if longer:
        yield Advice(
            f"Take {_times_longer(found)} times as many draws",
            "the geometry is suitable, and there are too few effective draws.",
            longer,
        )


def _times_longer(found: dict[str, Finding]) -> int:
    """Return how many times longer a run must be for large enough sample sizes."""
    ratios = [
        found[check].threshold / max(found[check].measured, 1.0)
        for check in ("ess_bulk", "ess_tail")
        if check in found
    ]
    return min(_LONGEST, max(2, math.ceil(1.2 * max(ratios, default=1.0))))
