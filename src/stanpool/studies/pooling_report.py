"""A comparison of poolings written up as one HTML file, and as a record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stanpool import plots
from stanpool.base.arguments import public
from stanpool.language.formula import formula_of
from stanpool.posterior.scalars import short_label
from stanpool.report.contents import Check, Section
from stanpool.report.parts import Missing, Part, facts, picture, table
from stanpool.report.record import digest_of_data, versions
from stanpool.report.write import write_page

if TYPE_CHECKING:
    from stanpool.api.facade import Fit
    from stanpool.studies.poolings import PoolingLadder
    from stanpool.studies.ranking import Ranking


@public
def report_comparison(
    ladder: PoolingLadder, path: str | os.PathLike[str], *, title: str | None = None
) -> Path:
    """Write the poolings of a model up as one HTML file, which needs no network.

    Parameters
    ----------
    ladder
        What ``compare_pooling`` returned.
    path
        Where to write, such as ``"poolings.html"``; a file there is replaced.
    title
        By default the formula.

    Returns
    -------
    pathlib.Path
        The file.
    """
    found = tuple(_verdict_of(*each) for each in ladder.fits.items())
    model = ladder.fits["partial"].model
    return write_page(
        path,
        title=title or f"Poolings of {formula_of(model.spec)}",
        verdict=ladder.verdict,
        state="pass" if all(each.level == "passed" for each in found) else "check",
        checks=found,
        steps=(),
        sections=_ladder_sections(ladder),
        record=ladder_record(ladder),
    )


def _verdict_of(name: str, fit: Fit) -> Check:
    """Say of one pooling whether its draws can be trusted."""
    diagnosis = fit.diagnose()
    level = "passed" if diagnosis.ok else "problem"
    sentence = f"{short_label(name)}: {diagnosis.verdict}"
    return Check(level, sentence, "", "sampling")


def _ladder_sections(ladder: PoolingLadder) -> tuple[Section, ...]:
    """Write all sections after the verdict."""
    return (
        _predictions(ladder),
        _groups(ladder),
        _estimates(ladder),
        _sampling(ladder),
    )


def ladder_record(ladder: PoolingLadder) -> dict[str, Any]:
    """Describe a ladder by values that JSON can hold, and tables."""
    model = ladder.fits["partial"].model
    groups = None if ladder.groups is None else ladder.groups.table
    return {
        "formula": formula_of(model.spec),
        "family": model.spec.family,
        "rows": model.design.rows,
        "data_sha256": digest_of_data(model),
        "versions": versions(),
        "verdict": ladder.verdict,
        "left_out_rows": ladder.rows.table,
        "left_out_groups": groups,
        "estimates": {
            name: ladder.estimates[name].rename_axis("quantity") for name in ladder.fits
        },
        "sampling": ladder.comparison.table.rename_axis("pooling"),
        "diagnoses": {
            name: fit.diagnose().verdict for name, fit in ladder.fits.items()
        },
    }


def _predictions(ladder: PoolingLadder) -> Section:
    parts: list[Part] = [_ranking("rows", "New rows of these groups", ladder.rows)]
    if ladder.groups is None:
        why = "fewer than two poolings say something of groups that they have not seen."
        parts.append(Missing("New groups", why))
    else:
        parts.append(_ranking("new-groups", "New groups", ladder.groups))
    intro = (
        "Each row, or each whole group, predicted from the others; elpd_diff is the "
        "difference from the best, at most 0, and weight that in the best mixture."
    )
    return Section("predictions", "What each predicts", intro, tuple(parts))


def _ranking(id: str, caption: str, ranking: Ranking) -> Part:
    shown = ranking.table.dropna(axis=1, how="all").round({"weight": 3})
    return table(id, caption, shown, note=ranking.verdict)


def _groups(ladder: PoolingLadder) -> Section:
    partial, fits = ladder.fits["partial"], ladder.fits
    return Section(
        "groups",
        "What pooling does to the groups",
        "",
        (
            picture(
                "shrinkage",
                "Groups before and after pooling, by their size",
                "Estimates of each group without and with partial pooling over the "
                "number of its rows: small groups are drawn to the population mean, "
                "large ones stay.",
                ladder.plot,
            ),
            picture(
                "lines",
                "Regressions of some groups, from the smallest to the largest",
                "Outcomes over a predictor in a panel for each of up to twelve groups, "
                "with the lines of complete, no and partial pooling.",
                lambda: plots.plot_lines(
                    partial, fits.get("none"), complete=fits["complete"]
                ),
            ),
        ),
    )


def _estimates(ladder: PoolingLadder) -> Section:
    columns = ladder.estimates.columns
    flat = ladder.estimates.set_axis(columns.map(": ".join), axis=1)
    return Section(
        "estimates-section",
        "Estimates",
        "",
        (
            table(
                "estimates",
                "Quantities of the population in each pooling",
                flat.rename_axis("quantity"),
                searchable=True,
            ),
        ),
    )


def _sampling(ladder: PoolingLadder) -> Section:
    pairs: list[tuple[str, object]] = [
        (name, repr(fit)) for name, fit in ladder.fits.items()
    ]
    return Section(
        "sampling",
        "Computation",
        "",
        (
            table(
                "sampled",
                "How each was sampled",
                ladder.comparison.table.rename_axis("pooling"),
            ),
            facts("fits", "The fits", pairs),
            facts("versions", "Versions", list(versions().items())),
        ),
        code="".join(
            f"// {name}\n{fit.model.stan_code}\n" for name, fit in ladder.fits.items()
        ),
        code_title="Stan programs",
    )
