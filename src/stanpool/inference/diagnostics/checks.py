"""Checks of convergence and of the sampler, each against a published threshold.

References
----------
.. [1] Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021). Rank-normalization,
   folding, and localization: an improved R-hat for assessing convergence of MCMC.
   Bayesian Analysis 16(2), 667-718.
.. [2] Betancourt (2017). A conceptual introduction to Hamiltonian Monte Carlo.
   arXiv:1701.02434.
.. [3] Betancourt (2016). Diagnosing suboptimal cotangent disintegrations in
   Hamiltonian Monte Carlo. arXiv:1604.00695.
.. [4] Mitrophanov (2005). Sensitivity and convergence of uniformly ergodic Markov
   chains. Journal of Applied Probability 42(4), 1003-1014.
.. [5] Hoffman and Gelman (2014). The No-U-Turn sampler. Journal of Machine Learning
   Research 15, 1593-1623.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.inference.diagnostics.diagnosis import Finding, Level
from stanpool.model.fit_result import LOG_DENSITY
from stanpool.posterior.convergence import R_HAT, STATISTICS, bfmi
from stanpool.posterior.scalars import described, dims_of_groups, short_label

if TYPE_CHECKING:
    from stanpool.model.fit_result import HasPosterior

ESS_PER_CHAIN = 100
E_BFMI = 0.3
CHAINS = 4
FEW_DIVERGENCES = 0.1  # largest effect, in Monte Carlo standard errors
_NAMED = 3  # number of quantities that a sentence names

_VEHTARI = "Vehtari et al. 2021"
_BETANCOURT_2016 = "Betancourt 2016"
_BETANCOURT_2017 = "Betancourt 2017"
_HOFFMAN_GELMAN = "Hoffman and Gelman 2014"


@dataclass(frozen=True, eq=False)
class Mixing:
    """Convergence of each scalar of a posterior, in arrays of shape ``(scalar,)``.

    ``finite`` says whether all draws of a scalar are finite, and ``groups`` is the
    group that it belongs to, or None.
    """

    labels: tuple[str, ...]
    groups: tuple[str | None, ...]
    finite: NDArray[np.bool_]
    r_hat: Array
    ess_bulk: Array
    ess_tail: Array


def measure_mixing(fit: HasPosterior) -> Mixing:
    """Compute R-hat and effective sample sizes of each scalar that is estimated."""
    posterior, group_dims = fit.posterior, dims_of_groups(fit)
    found = list(described(posterior, fit.described))
    blocks = [block for block, _ in found]
    columns = {
        name: np.concatenate([np.empty(0), *(each[name] for _, each in found)])
        for name in ("finite", *STATISTICS)
    }
    groups: list[str | None] = []
    for each in blocks:
        dim = next(iter(posterior[each.variable].dims[2:]), None)
        if dim in group_dims:
            names = [str(name) for name in posterior[dim].to_numpy()]
            groups += [names[row] for row in each.positions[:, 0]]
        else:
            groups += [None] * len(each.labels)
    labels = [label for each in blocks for label in each.labels]
    priors = () if fit.model is None else fit.model.priors
    constants = {row.parameter for row in priors if row.prior.is_constant}
    is_constant = np.array([label in constants for label in labels], dtype=bool)
    kept = np.flatnonzero(~(is_constant & np.isnan(columns["r_hat"])))
    return Mixing(
        labels=tuple(labels[place] for place in kept),
        groups=tuple(groups[place] for place in kept),
        finite=columns["finite"][kept].astype(bool),
        r_hat=columns["r_hat"][kept],
        ess_bulk=columns["ess_bulk"][kept],
        ess_tail=columns["ess_tail"][kept],
    )


def check_chains(chains: int) -> Finding:
    """Check that there are enough chains for R-hat."""
    level: Level = "problem" if chains == 1 else "note" if chains < CHAINS else "passed"
    sentence = (
        f"{chains} chains."
        if level == "passed"
        else f"Only {_count(chains, 'chain')}: R-hat is a weak check with fewer than "
        f"{CHAINS}, because all may have missed the same region."
    )
    return Finding("chains", level, chains, CHAINS, _VEHTARI, sentence)


def check_finite(mixed: Mixing) -> Finding:
    """Check that all draws are finite."""
    bad = np.flatnonzero(~mixed.finite)
    sentence = (
        f"{_share(len(bad), mixed)} have draws that are infinite or missing: "
        f"{_examples(mixed, bad)}. They are left out of the other checks."
        if len(bad)
        else "All draws are finite."
    )
    return _finding("finite", len(bad), 0, "floating point", sentence, mixed, bad)


def check_log_density(engine: Mapping[str, str]) -> Iterator[Finding]:
    """Say how the engine's log density was checked before sampling, if it was."""
    said = engine.get(LOG_DENSITY, "")
    if said:
        agrees = said.startswith("agrees")
        level: Level = "passed" if agrees else "note"
        sentence = f"The log density {said if agrees else f'was {said}'}."
        yield Finding("log_density", level, 0, 0, "stanpool", sentence)


def check_rejections(rejections: Mapping[str, int]) -> Iterator[Finding]:
    """Say why Stan could not evaluate the log density at proposals."""
    count = sum(rejections.values())
    if count:
        often = max(rejections, key=lambda reason: rejections[reason])
        sentence = (
            f"After warm-up, Stan rejected {_count(count, 'proposal')} because it "
            "could not evaluate the log density; the most frequent reason is: "
            f"{short_label(often, 200)}"
        )
        yield Finding("rejections", "note", count, 0, "Stan", sentence)


def check_r_hat(mixed: Mixing) -> Finding:
    """Check that the chains agree with each other, and each with itself."""
    bad, worst = _beyond(mixed.r_hat, lambda values: values > R_HAT, np.nanmax)
    stuck = np.flatnonzero(mixed.finite & np.isnan(mixed.r_hat))
    offenders = np.concatenate([stuck, bad])
    if len(stuck):
        sentence = (
            f"{_share(len(stuck), mixed)} never moved: {_examples(mixed, stuck)}."
        )
    elif len(bad):
        sentence = (
            f"R-hat is above {R_HAT} for {_share(len(bad), mixed)}, up to "
            f"{worst:.3f}: {_examples(mixed, bad)}. The chains do not agree yet."
        )
    else:
        sentence = f"R-hat is at most {worst:.3f} (limit {R_HAT})."
    return _finding("r_hat", worst, R_HAT, _VEHTARI, sentence, mixed, offenders)


def check_ess(mixed: Mixing, *, part: str, chains: int) -> Finding:
    """Check the effective sample size of the ``"bulk"`` or the ``"tail"``."""
    limit = ESS_PER_CHAIN * chains
    values = mixed.ess_bulk if part == "bulk" else mixed.ess_tail
    bad, worst = _beyond(values, lambda values: values < limit, np.nanmin)
    noisy = "Means and medians" if part == "bulk" else "Intervals"
    sentence = (
        f"The {part} effective sample size is below {limit} for "
        f"{_share(len(bad), mixed)}, down to {worst:.0f}: {_examples(mixed, bad)}. "
        f"{noisy} are noisy."
        if len(bad)
        else f"The {part} effective sample size is at least {worst:,.0f} "
        f"(limit {limit})."
    )
    return _finding(f"ess_{part}", worst, limit, _VEHTARI, sentence, mixed, bad)


def few_divergences(ess: Any) -> Any:
    """Return how many divergences are negligible beside the Monte Carlo error.

    If a share ``p`` of the transitions of a chain goes wrong, its distribution is wrong
    by at most about ``p`` times the number of transitions that it takes to forget [4]_.
    If ``n`` draws have the effective sample size ``ess``, that is ``count / n * n /
    ess``. The Monte Carlo standard error, in the same unit, is ``1 / sqrt(ess)``. The
    result is the number that changes estimates by a tenth of it.

    Parameters
    ----------
    ess
        The smallest bulk effective sample size of all quantities.

    Examples
    --------
    >>> few_divergences(np.array([400.0, 2000.0, np.nan]))
    array([2., 4., 0.])
    """
    return np.floor(FEW_DIVERGENCES * np.sqrt(np.nan_to_num(ess)))


def check_divergences(diverging: NDArray[np.bool_], *, ess: float) -> Finding:
    """Check that no trajectory diverged, or so few that they do not matter.

    Another check says where they are.
    """
    count, few = int(diverging.sum()), int(few_divergences(ess))
    level: Level = "note" if 0 < count <= few else "problem" if count else "passed"
    diverged = f"{count:,} of {diverging.size:,} transitions diverged"
    sentence = {
        "passed": "No transition diverged.",
        "note": f"{diverged}, which is too few to change an estimate by a tenth of its "
        f"Monte Carlo error (up to {few} are).",
        "problem": f"{diverged}: the sampler could not enter some region, and "
        "estimates that involve it are biased.",
    }[level]
    source = "Mitrophanov 2005" if level == "note" else _BETANCOURT_2017
    return Finding("divergences", level, count, 0, source, sentence)


def check_e_bfmi(energy: Array) -> Finding:
    """Check that the chains move well between levels of energy."""
    values = bfmi(energy)
    low = np.flatnonzero(values < E_BFMI)
    worst = float(values.min())
    sentence = (
        f"E-BFMI is below {E_BFMI} in {_count(len(low), 'chain')} of {len(values)}, "
        f"down to {worst:.2f}: the chains explore heavy tails or a funnel slowly."
        if len(low)
        else f"E-BFMI is at least {worst:.2f} (limit {E_BFMI})."
    )
    level: Level = "problem" if len(low) else "passed"
    return Finding("e_bfmi", level, worst, E_BFMI, _BETANCOURT_2016, sentence)


def check_tree_depth(reached: NDArray[np.bool_], *, max_treedepth: int) -> Finding:
    """Note transitions that were cut off at the largest tree depth, which is slow."""
    count = int(reached.sum())
    sentence = (
        f"{count:,} of {reached.size:,} transitions were cut off at tree depth "
        f"{max_treedepth}: draws are slow, and less independent than they could be."
        if count
        else f"No transition was cut off at tree depth {max_treedepth}."
    )
    level: Level = "note" if count else "passed"
    return Finding("tree_depth", level, count, 0, _HOFFMAN_GELMAN, sentence)


def _finding(
    check: str,
    measured: float,
    threshold: float,
    source: str,
    sentence: str,
    mixed: Mixing,
    offenders: NDArray[np.intp],
) -> Finding:
    groups = (mixed.groups[index] for index in offenders)
    return Finding(
        check,
        "problem" if len(offenders) else "passed",
        float(measured),
        threshold,
        source,
        sentence,
        parameters=tuple(mixed.labels[index] for index in offenders),
        groups=tuple(dict.fromkeys(name for name in groups if name is not None)),
    )


def _beyond(
    values: Array,
    is_bad: Callable[[Array], NDArray[np.bool_]],
    worst: Callable[[Array], float],
) -> tuple[NDArray[np.intp], float]:
    """Return the quantities beyond a limit, worst first, and the worst value."""
    if np.isnan(values).all():
        return np.empty(0, dtype=np.intp), float("nan")
    bad = np.flatnonzero(is_bad(values))
    extreme = worst(values)
    return bad[np.argsort(np.abs(values[bad] - extreme), kind="stable")], float(extreme)


def _share(count: int, mixed: Mixing) -> str:
    return f"{count:,} of {_count(len(mixed.labels), 'quantity', 'quantities')}"


def _examples(mixed: Mixing, indices: NDArray[np.intp]) -> str:
    text = ", ".join(short_label(mixed.labels[index]) for index in indices[:_NAMED])
    more = len(indices) - _NAMED
    return text if more <= 0 else f"{text} and {more:,} more"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
