"""The sections of a report on predictive checks and on model criticism."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from stanpool import plots
from stanpool.base.arrays import LARGEST_ARRAY
from stanpool.base.errors import StanpoolError
from stanpool.inference.estimates.variance import bayes_R2, icc
from stanpool.inference.evaluation.cross_validation import score_name
from stanpool.inference.evaluation.loo import loo as leave_one_out
from stanpool.inference.prediction.integrated.group_likelihood import is_gaussian
from stanpool.language.family import FAMILIES
from stanpool.report.parts import (
    Missing,
    Part,
    Section,
    Table,
    attempt,
    facts,
    if_available,
    is_pooled,
    picture,
    size_of,
    table,
    unless_large,
)

if TYPE_CHECKING:
    from stanpool.inference.evaluation.cross_validation import CrossValidation
    from stanpool.model.fit_result import FitResult

LOO = "Leave-one-out cross-validation"

_WORST = 10
_FEWEST_ROWS = 100
_POINTS = 30  # evaluations of a group's likelihood to integrate out its coefficients


def predictive(fit: FitResult) -> Section:
    """Write the section that compares observed outcomes with predicted ones."""
    if fit.model.design.censored is not None:
        reason = "censored outcomes cannot be compared with uncensored predictions."
        parts: list[Part] = [Missing("Observed and predicted outcomes", reason)]
        intro = ""
    else:
        intro = "If the model fits, outcomes drawn from it look like the observed ones."
        parts = [*_outcomes(fit), *_of_groups(fit), *_other_checks(fit)]
    return Section("predictive-section", "Predictive checks", intro, tuple(parts))


def _outcomes(fit: FitResult) -> Iterator[Part]:
    """Draw the distributions of observed and predicted outcomes."""
    yield picture(
        "predictive",
        "Observed and predicted outcomes",
        "The distribution of the observed outcomes, and distributions of outcomes that "
        "are drawn from the fitted model for the same rows.",
        lambda: plots.plot_predictive(fit),
    )
    if FAMILIES[fit.model.spec.family].outcome == "count":
        yield picture(
            "rootogram",
            "Observed and predicted counts (hanging rootogram)",
            "Square roots of the frequency of each count, which hang from those of its "
            "predicted frequency; bars that do not end near 0 show misfit.",
            lambda: plots.plot_predictive(fit, kind="rootogram"),
        )


def _of_groups(fit: FitResult) -> Iterator[Part]:
    """Draw the groups' mean outcomes and residuals."""
    if fit.model.design.factors:
        yield from if_available(
            picture(
                "predictive-groups",
                "Observed and predicted mean outcomes of the groups",
                "The observed mean outcome of each group, sorted, with the interval of "
                "90 per cent of the predicted means.",
                lambda: plots.plot_predictive(fit, kind="groups"),
            )
        )
    if fit.model.spec.groups:
        yield from if_available(
            picture(
                "residuals",
                "Residuals of each group",
                "Residuals of the rows of each group, with groups sorted by their "
                "means, and the interval of 90 per cent of the predicted mean "
                "residuals.",
                lambda: plots.plot_residuals(fit),
            )
        )


def _other_checks(fit: FitResult) -> Iterator[Part]:
    """Draw statistics of the outcomes, and what the priors alone predict."""
    yield from if_available(
        picture(
            "statistics",
            "Observed and predicted mean, standard deviation, minimum and maximum",
            "Histograms of four statistics of predicted outcomes, with those of the "
            "observed outcomes as lines, and the share of predictions above them.",
            lambda: plots.plot_statistics(fit),
        )
    )
    yield picture(
        "prior-predictive",
        "Prior predictive distribution of the outcome",
        "The distribution of the observed outcomes, and distributions of outcomes that "
        "are drawn from the priors alone.",
        lambda: plots.plot_predictive(fit, prior=True),
    )


def leave_rows_out(fit: FitResult) -> CrossValidation | Missing:
    """Leave out each row, or a sample of them if there are too many.

    Returns
    -------
    CrossValidation or Missing
        The result, or the reason why the model has none.
    """
    rows = fit.model.design.rows
    sample = max(_FEWEST_ROWS, LARGEST_ARRAY * rows // size_of(fit))
    try:
        return leave_one_out(
            fit, progress=False, sample=sample if sample < rows else None
        )
    except StanpoolError as reason:
        return Missing(LOO, str(reason))


def criticism(fit: FitResult, left_out: CrossValidation | Missing) -> Section:
    """Write the section on cross-validation, influence and explained variance."""
    parts: list[Part] = (
        [left_out] if isinstance(left_out, Missing) else [*_left_out(left_out)]
    )
    if is_pooled(fit):
        parts.append(_influence(fit))
    if not FAMILIES[fit.model.spec.family].has_categories:
        parts.append(
            unless_large(
                fit,
                "Explained share of the variance (R2)",
                "bayes_R2",
                lambda caption: table(
                    "r2", caption, bayes_R2(fit).rename_axis("quantity")
                ),
            )
        )
    if is_pooled(fit):
        caption = "Share of each grouping factor in the variance of a new row (ICC)"
        parts.append(
            attempt(
                caption, lambda: table("icc", caption, icc(fit).rename_axis("factor"))
            )
        )
    return Section("criticism", "What the model misses", "", tuple(parts))


def _influence(fit: FitResult) -> Part:
    """Draw how estimates change if groups are left out, unless it takes long."""
    caption = "Change of the estimates if a group is left out"
    spec = fit.model.spec
    is_exact = is_gaussian(fit.model.design, spec.family, spec.link_name)
    if size_of(fit) * (1 if is_exact else _POINTS) > LARGEST_ARRAY:
        reason = "this takes long for so many rows; call fit.influence()."
        return Missing(caption, reason)
    return picture(
        "influence",
        caption,
        "For each group, the most influential first, the change of the population "
        "parameter that changes most without it, in posterior standard deviations.",
        lambda: plots.plot_influence(fit),
    )


def _left_out(result: CrossValidation) -> Iterator[Part]:
    """Write the parts on leave-one-out cross-validation."""
    yield _loo_figures(result)
    yield _worst_rows(result)
    yield picture(
        "pareto-k",
        "Pareto k of each row",
        f"Pareto k of each row: {len(result.unreliable):,} of {len(result.units):,} "
        f"are above {result.good_k:.2f}, where the estimate is unreliable.",
        lambda: plots.plot_pareto_k(result),
    )
    yield from if_available(
        picture(
            "pit",
            "Calibration of leave-one-out predictions (LOO-PIT)",
            "The difference between the distribution of predictive probabilities and "
            "the uniform one, with a band that it leaves if the model is "
            "miscalibrated.",
            lambda: plots.plot_pit(result),
        )
    )


def _loo_figures(result: CrossValidation) -> Table:
    pairs: list[tuple[str, object]] = [
        ("rows left out", f"{len(result.units):,} of {result.population:,}"),
        ("elpd (higher is better)", f"{result.elpd:,.1f}, SE {result.se:,.1f}"),
        ("effective parameters", f"{result.p:,.1f}"),
    ]
    if len(result.units) < result.population:
        pairs[0] = (pairs[0][0], f"a sample of {pairs[0][1]}; totals are for all rows")
    if np.isfinite(result.rmse):
        pairs.append(("RMSE of left-out rows", f"{result.rmse:.4g}"))
    if np.isfinite(result.score):
        name = f"{score_name(result.model.spec)} of left-out rows"
        pairs.append((name, f"{result.score:.4g}"))
        pairs.append(("the most probable category was right", f"{result.accuracy:.1%}"))
    if np.isfinite(result.coverage()):
        pairs.append(("coverage of 90% intervals", f"{result.coverage():.1%}"))
    pairs.append(
        (
            "rows with too large Pareto k",
            f"{len(result.unreliable):,} of {len(result.units):,}",
        )
    )
    return facts("loo", LOO, pairs)


def _worst_rows(result: CrossValidation) -> Table:
    """List the rows that the model predicts worst."""
    columns = ["elpd", "pareto_k"]
    worst = result.units.sort_values("elpd", kind="stable")[columns].head(_WORST)
    seen = result.rows.loc[worst.index, ["y", "predicted", "pit"]]
    if result.model.design.categories:
        names = np.array([str(each) for each in result.model.design.categories])
        seen = seen.assign(y=names[seen["y"].astype(int)]).drop(columns="predicted")
    return table(
        "surprising",
        "The rows that are predicted worst, counted from 0",
        worst.join(seen).rename_axis("row"),
        note="pit is the predicted probability of a smaller outcome.",
    )
