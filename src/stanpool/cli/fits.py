"""Commands for saved fits: compare, predict and report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from stanpool.base.options import NewGroups, PredictionKind, Unit
from stanpool.cli.model_options import reads_data
from stanpool.cli.options import (
    DATA,
    FIT,
    PATH,
    echo_json,
    json_option,
    seed_option,
    try_places,
)

if TYPE_CHECKING:
    from stanpool.data.sources import Source


@click.command(
    epilog="""\b
Examples:
  stanpool compare centered.fit noncentered.fit
  stanpool compare complete.fit none.fit partial.fit --unit group
  stanpool compare fits/*.fit --json"""
)
@click.argument("fits", nargs=-1, required=True, type=FIT, metavar="FIT...")
@click.option(
    "--unit",
    type=click.Choice([*get_args(Unit), "none"]),
    default="row",
    show_default=True,
    help="What leave-one-out cross-validation leaves out to rank the fits.",
)
@json_option
def compare(
    fits: tuple[Path, ...], unit: Unit | Literal["none"], as_json: bool
) -> None:
    """Compare saved fits, and rank them.

    Shows the estimates and how well each fit was sampled, and, if the fits are of the
    same data, which of them predicts best.
    """
    from stanpool.api.facade import load
    from stanpool.studies.parameterizations import compare_fits
    from stanpool.studies.ranking import compare as rank_by_loo

    names = [path.name.removesuffix(".fit") for path in fits]
    if len(set(names)) < len(names):
        names = [str(path) for path in fits]
    loaded = {name: load(path) for name, path in zip(names, fits, strict=True)}
    comparison = compare_fits(loaded)
    ranking = None
    if len(loaded) > 1 and unit != "none":
        ranking = rank_by_loo(loaded, unit=unit)
    if not as_json:
        click.echo(str(comparison))
        if ranking is not None:
            click.echo(f"\n{ranking}")
        return
    estimates = {
        name: comparison.estimates[name].rename_axis("quantity") for name in loaded
    }
    echo_json(
        {
            "sampling": comparison.table.rename_axis("fit"),
            "estimates": estimates,
            "advice": comparison.advice,
            "ranking": None if ranking is None else ranking.table,
            "verdict": None if ranking is None else ranking.verdict,
        }
    )


@click.command(
    epilog="""\b
Examples:
  stanpool predict radon.fit
  stanpool predict radon.fit new_houses.csv --new-groups population --out new.parquet
  sqlite3 -csv -header houses.db 'select * from new' | stanpool predict radon.fit -"""
)
@click.argument("fitted", type=FIT, metavar="FIT")
@click.argument("data", type=DATA, required=False)
@reads_data
@click.option(
    "--kind",
    type=click.Choice(get_args(PredictionKind)),
    default="predict",
    show_default=True,
    help="What to predict: outcomes (predict), their expectation (epred), or the "
    "linear predictor (linpred).",
)
@click.option(
    "--new-groups",
    type=click.Choice(get_args(NewGroups)),
    default="error",
    show_default=True,
    help="How to predict groups that are not in the data of the fit.",
)
@click.option(
    "--prob",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Probability of the intervals.",
)
@click.option(
    "--draws", type=click.IntRange(1), help="Number of draws to use.  [default: all]"
)
@seed_option
@click.option("--out", type=PATH, help="Write a CSV, Parquet or Feather file.")
@json_option
def predict(
    fitted: Path,
    source: Source | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Predict outcomes from a saved FIT.

    The rows are those of DATA or, without it, those that were fitted. Prints CSV with a
    line for each row: mean, sd, median and an interval, or the probability of each
    category if the outcome is categorical.
    """
    from stanpool.api.facade import load
    from stanpool.base.table_files import write_table
    from stanpool.inference.prediction.summaries import predict_table
    from stanpool.language.formula import outcome_name

    try_places(None, out)
    fit = load(fitted)
    if source is None:
        table = predict_table(fit, **options)
    else:
        outcome = outcome_name(fit.model.spec)
        needed = [name for name in fit.model.data.columns if name != outcome]
        rows = source.table(lambda _: needed)
        with source.explained():
            table = predict_table(fit, rows, **options)
        if source.dropna:
            table.index = rows.index
    table = table.rename_axis("row")
    if out is not None:
        write_table(table.reset_index(), out)
    elif as_json:
        echo_json(table)
    else:
        click.echo(table.to_csv().encode("utf-8"), nl=False)  # as files are


@click.command(
    epilog="""\b
Examples:
  stanpool report radon.fit
  stanpool report radon.fit --out reports/radon.html --title 'Radon in Minnesota'"""
)
@click.argument("fitted", type=FIT, metavar="FIT")
@click.option(
    "--out",
    type=PATH,
    help="File of the report.  [default: the name of FIT, with .html]",
)
@click.option("--title", help="Title of the report.  [default: the formula]")
@click.option("--no-loo", is_flag=True, help="Skip leave-one-out cross-validation.")
def report(fitted: Path, out: Path | None, title: str | None, no_loo: bool) -> None:
    """Write a report on a saved FIT.

    It is one HTML file, which can be read without a network.
    """
    from stanpool.api.facade import load
    from stanpool.report import write_report

    path = Path(fitted.resolve().with_suffix(".html").name) if out is None else out
    try_places(None, path)
    written = write_report(load(fitted), path, title=title, loo=not no_loo)
    click.echo(click.format_filename(written))
