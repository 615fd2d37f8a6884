"""The report on a comparison of poolings, as one HTML file or as a record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stanpool import plots
from stanpool.base.arguments import public
from stanpool.base.system.files import try_writing
from stanpool.language.formulas.formula_text import stated
from stanpool.posterior.scalars import short_label
from stanpool.report.contents import Check
from stanpool.report.parts import Missing, Part, Section, facts, picture, table
from stanpool.report.record import digest_of_data, versions
from stanpool.report.write import write_page

if TYPE_CHECKING:
    from stanpool.api.facade import Fit
    from stanpool.studies.pooling.poolings import PoolingComparison
    from stanpool.studies.ranking import Ranking


@public
def report_comparison(
    poolings: PoolingComparison,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
) -> Path:
    """Write a report on the poolings of a model as one HTML file.

    Parameters
    ----------
    poolings
        The result of ``compare_pooling``.
    path
        The file, such as ``"poolings.html"``, which is replaced if it exists.
    title
        The title; by default the formula.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    StorageError
        If the file cannot be written; nothing has been computed then.
    """
    try_writing(path)  # before the long computation
    found = tuple(_verdict_of(*each) for each in poolings.fits.items())
    model = poolings.fits["partial"].model
    return write_page(
        path,
        title=title or f"Poolings of {stated(model.spec)}",
        verdict=poolings.verdict,
        state="pass" if all(each.level == "passed" for each in found) else "check",
        checks=found,
        steps=(),
        sections=_sections(poolings),
        record=pooling_record(poolings),
    )


def _verdict_of(name: str, fit: Fit) -> Check:
    """Say whether the draws of one pooling can be trusted."""
    diagnosis = fit.diagnose()
    level = "passed" if diagnosis.ok else "problem"
    sentence = f"{short_label(name)}: {diagnosis.verdict}"
    return Check(level, sentence, "", "sampling")


def _sections(poolings: PoolingComparison) -> tuple[Section, ...]:
    """Write all sections that follow the verdict."""
    return (
        _predictions(poolings),
        _groups(poolings),
        _estimates(poolings),
        _sampling(poolings),
    )


def pooling_record(poolings: PoolingComparison) -> dict[str, Any]:
    """Describe a comparison by tables and by values that JSON can hold."""
    model = poolings.fits["partial"].model
    groups = None if poolings.groups is None else poolings.groups.table
    return {
        "formula": stated(model.spec),
        "family": model.spec.family,
        "rows": model.design.rows,
        "data_sha256": digest_of_data(model),
        "versions": versions(),
        "verdict": poolings.verdict,
        "left_out_rows": poolings.rows.table,
        "left_out_groups": groups,
        "estimates": {
            name: poolings.estimates[name].rename_axis("quantity")
            for name in poolings.fits
        },
        "sampling": poolings.comparison.table.rename_axis("pooling"),
        "diagnoses": {
            name: fit.diagnose().verdict for name, fit in poolings.fits.items()
        },
    }


def _predictions(poolings: PoolingComparison) -> Section:
    parts: list[Part] = [_ranking("rows", "New rows of these groups", poolings.rows)]
    if poolings.groups is None:
        why = "fewer than two of the poolings can predict new groups."
        parts.append(Missing("New groups", why))
    else:
        parts.append(_ranking("new-groups", "New groups", poolings.groups))
    intro = (
        "Each row, or each whole group, is predicted from the others. elpd_diff is the "
        "difference from the best pooling, and weight is the weight in the mixture of "
        "poolings that predicts best."
    )
    return Section("predictions", "Predictive performance", intro, tuple(parts))


def _ranking(id: str, caption: str, ranking: Ranking) -> Part:
    shown = ranking.table.dropna(axis=1, how="all").round({"weight": 3})
    return table(id, caption, shown, note=ranking.verdict)


def _groups(poolings: PoolingComparison) -> Section:
    partial, fits = poolings.fits["partial"], poolings.fits
    return Section(
        "groups",
        "The effect of pooling on the groups",
        "",
        (
            picture(
                "shrinkage",
                "Estimates of the groups before and after pooling",
                "Estimates of each group without and with partial pooling against the "
                "number of its rows: small groups are shrunk to the population mean, "
                "and large ones hardly change.",
                poolings.plot,
            ),
            picture(
                "lines",
                "Regression lines of some groups, from the smallest to the largest "
                "group",
                "Outcomes against a predictor in a panel for each of up to twelve "
                "groups, with the lines of complete, no and partial pooling.",
                lambda: plots.plot_lines(
                    partial, fits.get("none"), complete=fits["complete"]
                ),
            ),
        ),
    )


def _estimates(poolings: PoolingComparison) -> Section:
    columns = poolings.estimates.columns
    flat = poolings.estimates.set_axis(columns.map(": ".join), axis=1)
    return Section(
        "estimates-section",
        "Estimates",
        "",
        (
            table(
                "estimates",
                "Population parameters in each pooling",
                flat.rename_axis("quantity"),
                searchable=True,
            ),
        ),
    )


def _sampling(poolings: PoolingComparison) -> Section:
    pairs: list[tuple[str, object]] = [
        (name, repr(fit)) for name, fit in poolings.fits.items()
    ]
    return Section(
        "sampling",
        "Computation",
        "",
        (
            table(
                "sampled",
                "Sampling of each pooling",
                poolings.comparison.table.rename_axis("pooling"),
            ),
            facts("fits", "The fits", pairs),
            facts("versions", "Versions", list(versions().items())),
        ),
        code="".join(
            f"// {name}\n{fit.model.stan_code}\n" for name, fit in poolings.fits.items()
        ),
        code_title="Stan programs",
    )
