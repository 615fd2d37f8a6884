"""Whether outcomes are like those that the model predicts, each from the other rows.

If the model is right, the predicted probabilities of smaller outcomes (leave-one-out
PIT, randomized where outcomes are discrete) are uniform and nearly independent [1]_,
and their normal scores are standard normal. Each check has a p-value that is exact, or
nearly so, for that. The limit is 5 % for all checks together, so that it is divided by
their number (Bonferroni): at most about one in twenty right models is suspected.

References
----------
.. [1] Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013). Bayesian data analysis,
   third edition, sections 6.3 and 7.2. Chapman and Hall.
.. [2] Säilynoja, Bürkner and Vehtari (2022). Graphical test for discrete uniformity and
   its applications in goodness-of-fit evaluation and multiple sample comparison.
   Statistics and Computing 32, 32.
.. [3] Brown and Forsythe (1974). Robust tests for the equality of variances. Journal of
   the American Statistical Association 69, 364-367.
.. [4] Dunn and Smyth (1996). Randomized quantile residuals. Journal of Computational
   and Graphical Statistics 5(3), 236-244.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arrays import LARGEST_ARRAY, Array, Indices
from stanpool.base.errors import quote, quote_list
from stanpool.inference.diagnostics.diagnosis import Advice, Diagnosis, Finding
from stanpool.inference.evaluation.cross_validation import CrossValidation
from stanpool.inference.evaluation.loo import loo, sample_rows
from stanpool.inference.evaluation.uniformity import (
    least_likely_share,
    uniformity_p_values,
)
from stanpool.inference.prediction.quantities import blocks_of
from stanpool.inference.prediction.rows import linear_predictor_with
from stanpool.language.family import FAMILIES, Family
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    from stanpool.data.design.design import FactorDesign
    from stanpool.model.fit_result import FitResult

LIMIT = 0.05  # probability that a right model is suspected by any check
_EXTREME = 0.005  # probability beyond which an outcome is extreme, on either side
_CUTS = 100  # into which PITs are sorted
_FEWEST = 5  # rows of a group whose variance is compared
_FEWEST_PITS = 20
_ROWS = 2000  # that are left out, of more a sample
_NOT_SEEN = (
    "These checks look at one outcome at a time, predicted from the others. They do "
    "not see whether predictors are missing, whether effects are causal, or whether "
    "new groups are like these; fit.plot.residuals() and fit.loo(unit='group') help."
)


@dataclass(frozen=True)
class _Check:
    """The result of one check.

    Attributes
    ----------
    name, sentence, source
        What was checked, what was found, and where the check is from.
    p_value
        The probability of a deviation at least as large if the model is right.
    is_wider
        Whether outcomes spread more widely than predicted, or have heavier tails.
    groups
        The groups that it is about, if any.
    """

    name: str
    sentence: str
    p_value: float
    source: str
    is_wider: bool = False
    groups: tuple[str, ...] = ()


def check_outcomes(
    fit: FitResult, *, result: CrossValidation | None = None
) -> Diagnosis:
    """Say whether outcomes are like those that the model predicts.

    ``diagnose`` says whether the draws can be trusted, and this whether the model looks
    like the data: whether predictions are calibrated, the tails and the dispersion of
    outcomes, the number of zeros of counts, and the variances of groups.

    Parameters
    ----------
    fit
        A fit.
    result
        The result of ``loo`` or ``kfold`` of the rows, if there is one already. If
        there are more than 2,000 rows, a sample of them is checked in any case.

    Returns
    -------
    Diagnosis
        Each finding has a p-value, as ``measured``, and its limit. The probability that
        any of the checks suspects a correct model is about 5 %.

    Examples
    --------
    >>> print(fit.check_outcomes())  # doctest: +SKIP
    """
    design, family = fit.model.design, FAMILIES[fit.model.spec.family]
    subject = "The model and the outcomes"
    if fit.prior_only:
        return _unchecked(subject, "The draws are from the prior, without the outcome.")
    if result is None:
        sample = _ROWS if design.rows > _ROWS else None
        result = loo(fit, sample=sample, progress=False)
    pit = result.rows["pit"].dropna()
    if len(pit) > _ROWS:  # the same rows, whether they were left out here or before
        pit = pit.iloc[sample_rows(len(pit), "row", _ROWS)]
    if len(pit) < _FEWEST_PITS:
        return _unchecked(
            subject,
            f"There are {len(pit)} outcomes whose predictive probability is known, "
            f"fewer than {_FEWEST_PITS}.",
        )
    found = [*_checks(fit, pit.to_numpy(), pit.index.to_numpy())]
    limit = LIMIT / len(found)
    findings = tuple(
        Finding(
            each.name,
            "problem" if each.p_value < limit else "passed",
            each.p_value,
            limit,
            each.source,
            f"{each.sentence} (p = {each.p_value:.2g}, limit {limit:.2g}).",
            groups=each.groups,
        )
        for each in found
    )
    wrong = [each for each in found if each.p_value < limit]
    advice = tuple(_advice(fit, family, wrong))
    return Diagnosis(subject, findings, advice, _NOT_SEEN)


def _unchecked(subject: str, sentence: str) -> Diagnosis:
    """Return that nothing could be checked, and why."""
    finding = Finding("outcomes", "note", np.nan, np.nan, "stanpool", sentence)
    return Diagnosis(subject, (finding,), (), _NOT_SEEN)


def _checks(fit: FitResult, pit: Array, rows: Array) -> Iterator[_Check]:
    """Yield the checks that the model's outcomes allow."""
    pit = np.clip(pit, 1e-12, 1.0 - 1e-12)
    yield _calibration(pit)
    yield _tails(pit)
    yield _dispersion(pit)
    draws = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    is_count = FAMILIES[fit.model.spec.family].outcome == "count"
    if is_count and fit.model.design.rows * draws <= LARGEST_ARRAY:
        yield _zeros(fit)
    factor = _compared(fit)
    if factor is not None:
        yield from _variances(pit, factor.index[rows], factor.labels, factor.factor)


def _compared(fit: FitResult) -> FactorDesign | None:
    """Return the first factor of whose groups each row belongs to one, if any."""
    return next((x for x in fit.model.design.factors if x.index.ndim == 1), None)


def _calibration(pit: Array) -> _Check:
    """Compare the distribution of PITs with the uniform one."""
    ranks = np.minimum(np.floor(pit * _CUTS).astype(np.intp), _CUTS - 1)
    p_value = float(uniformity_p_values(ranks[:, None], draws=_CUTS - 1)[0])
    share, expected = least_likely_share(ranks, _CUTS - 1)
    sentence = (
        f"Of {len(pit):,} outcomes, {share:.1%} are below the {expected:.0%} quantile "
        "of their predictions; no other quantile has a less likely share"
    )
    # Heavy tails: more outcomes in the middle, and not fewer at the ends.
    has_tails = np.mean(np.minimum(pit, 1.0 - pit) < _EXTREME) >= 2 * _EXTREME
    is_peaked = np.mean(np.abs(pit - 0.5) > 0.25) < 0.5
    is_wider = bool(is_peaked and has_tails)
    return _Check("calibration", sentence, p_value, "Säilynoja et al. 2022", is_wider)


def _tails(pit: Array) -> _Check:
    """Count outcomes that are extreme for the model."""
    from scipy import stats  # type: ignore[import-untyped]

    extreme = int(np.sum((pit < _EXTREME) | (pit > 1.0 - _EXTREME)))
    p_value = stats.binomtest(extreme, len(pit), 2 * _EXTREME).pvalue
    sentence = (
        f"{extreme:,} outcome{'s are' if extreme != 1 else ' is'} beyond the central "
        f"{1 - 2 * _EXTREME:.0%} of their predictions, where "
        f"{2 * _EXTREME * len(pit):.1f} are expected"
    )
    is_heavy = extreme > 2 * _EXTREME * len(pit)
    return _Check("tails", sentence, float(p_value), "Gelman et al. 2013", is_heavy)


def _dispersion(pit: Array) -> _Check:
    """Compare the variance of normal scores with 1."""
    from scipy import special, stats

    scores = special.ndtri(pit)
    count = len(scores)
    variance = float(np.var(scores, ddof=1))
    below = stats.chi2.cdf((count - 1) * variance, count - 1)
    p_value = 2.0 * min(below, 1.0 - below)
    sentence = (
        "Outcomes vary about their predictions "
        f"{variance**0.5:.2f} times as much as predicted"
    )
    source = "Dunn and Smyth 1996"
    return _Check("dispersion", sentence, float(p_value), source, variance > 1.0)


def _zeros(fit: FitResult) -> _Check:
    """Compare the number of zeros with that of replicated outcomes."""
    source = linear_predictor_with(fit, seed=fit.settings.seed)
    zeros = np.zeros(source.shape[0] * source.shape[1])
    for _, replicated in blocks_of("predict", source):
        zeros += (replicated == 0).sum(axis=1)
    seen = int((fit.model.design.y == 0).sum())
    # Half of the ties count on either side.
    above = float(np.mean(zeros > seen) + 0.5 * np.mean(zeros == seen))
    p_value = 2.0 * min(above, 1.0 - above)
    p_value = max(p_value, 1.0 / len(zeros))
    sentence = f"{seen:,} outcomes are 0, where {zeros.mean():,.1f} are predicted"
    return _Check("zeros", sentence, p_value, "Gelman et al. 2013", above < 0.5)


def _variances(
    pit: Array, index: Indices, labels: tuple[object, ...], factor: str
) -> Iterator[_Check]:
    """Compare the variances of normal scores within groups with each other."""
    from scipy import special, stats

    scores = special.ndtri(pit)
    groups = {
        label: scores[index == number]
        for number, label in enumerate(labels)
        if np.sum(index == number) >= _FEWEST
    }
    if len(groups) < 2:
        return
    p_value = float(stats.levene(*groups.values(), center="median").pvalue)
    spread = {str(label): float(np.std(x, ddof=1)) for label, x in groups.items()}
    order = sorted(spread, key=lambda label: -abs(np.log(spread[label])))
    sentence = (
        f"Within {len(groups):,} groups of {short_label(factor)} outcomes vary "
        f"{min(spread.values()):.2f} to {max(spread.values()):.2f} times as much as "
        "predicted"
    )
    source = "Brown and Forsythe 1974"
    yield _Check("groups", sentence, p_value, source, groups=tuple(order[:5]))


def _advice(
    fit: FitResult, family: Family, found: Sequence[_Check]
) -> Iterator[Advice]:
    """Say what to try about what was found, the most specific first."""
    wrong = {each.name for each in found}
    if wrong and family.is_of_quantiles:
        yield Advice(
            "Judge the quantile, and not the distribution",
            "asymmetric Laplace outcomes are a device for one quantile: the share of "
            "outcomes below fit.linpred() should be the one that was asked for.",
        )
        return
    compared = _compared(fit)
    has_scale = family.has_sigma and fit.model.spec.residual is None
    if "groups" in wrong and has_scale and compared is not None:
        yield Advice(
            f"Let the groups of {quote(compared.factor)} have residual scales of their "
            "own",
            "outcomes vary more in some groups than in others.",
            {"residual": compared.factor},
        )
    wider = _wider(family)
    if wider and any(each.is_wider for each in found):
        yield Advice(
            f"Try another family: {quote_list(wider)}",
            "it has one more parameter, for the spread or the tails of outcomes.",
            {"family": wider[0]},
        )
    if any(each.name == "dispersion" and not each.is_wider for each in found):
        yield Advice(
            "Ask what keeps outcomes near their predictions",
            "they vary less than the family can say: counts may have a bound, or rows "
            "may be averages or repeat each other.",
        )
    if "zeros" in wrong:
        inflated = f"zero_inflated_{family.name}"
        yield Advice(
            "Ask how zeros arise",
            "some may have another origin, such as units that cannot have counts: "
            "that family has a share of such zeros; a hurdle family has a "
            "probability of its own for all of them."
            if inflated in FAMILIES
            else "the counts may be of units of different kinds.",
            {"family": inflated} if inflated in FAMILIES else {},
        )
    if wrong & {"calibration", "tails"} and family.outcome in (
        *("real", "positive", "nonnegative"),
    ):
        yield Advice(
            "Look at the outcome's scale",
            "a skewed or bounded outcome may be better on a logarithmic or another "
            "scale; fit.plot.predictive() shows where outcomes differ.",
        )


def _wider(family: Family) -> list[str]:
    """Name the families of the same outcomes that have one more parameter."""
    return [
        each.name
        for each in FAMILIES.values()
        if each.outcome == family.outcome
        and ("trials" in each.parts) == ("trials" in family.parts)
        and len(each.parameters) > len(family.parameters)
        and not each.has_own_zeros
    ]
