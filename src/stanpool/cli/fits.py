"""Commands for saved fits: compare, predict, report, and effects."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from stanpool.base.errors import SpecError, quote, quote_list
from stanpool.base.options import (
    Comparison,
    Cross,
    EffectGroups,
    EffectKind,
    NewGroups,
    PredictionKind,
    SlopeKind,
    Unit,
)
from stanpool.cli.model_options import reads_data
from stanpool.cli.options import (
    DATA,
    FIT,
    PATH,
    all_of,
    echo_json,
    json_option,
    seed_option,
    try_places,
)

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.api.facade import Fit, Model
    from stanpool.data.tables.named import Source


_SHOWN = all_of(
    (
        click.option(
            "--new-groups",
            type=click.Choice(get_args(NewGroups)),
            default="error",
            show_default=True,
            help="How to predict groups that are not in the data of the fit.",
        ),
        click.option(
            "--prob",
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            default=0.9,
            show_default=True,
            help="Probability of the intervals.",
        ),
        click.option(
            "--draws",
            type=click.IntRange(1),
            help="Number of draws to use, if not all.",
        ),
        seed_option,
        click.option("--out", type=PATH, help="Write a CSV, Parquet or Feather file."),
        json_option,
    )
)

_OF_EFFECTS = all_of(
    (
        click.argument("fitted", type=FIT, metavar="FIT"),
        click.argument("data", type=DATA, required=False),
        click.option(
            "--variables",
            multiple=True,
            metavar="NAME[=VALUES]",
            help="A variable, and which of its values, separated by commas, as in "
            "'age=20,60', 'age=sd' or 'region=pairwise'. May be repeated.",
        ),
        click.option(
            "--newdata",
            type=click.Choice(["mean", "median", "balanced"]),
            help="Typical rows in place of DATA.",
        ),
        click.option(
            "--by",
            multiple=True,
            metavar="COLUMN",
            help="Average rows by the values of a column. May be repeated.",
        ),
        click.option(
            "--average/--each-row",
            default=None,
            help="Average over all rows, or show each of them.  [default: average over "
            "the rows that were fitted, and show each of other rows]",
        ),
        click.option(
            "--weights", metavar="COLUMN", help="Column of the rows' weights."
        ),
        click.option(
            "--groups",
            multiple=True,
            metavar="[FACTOR=]WORD",
            help="Which group effects enter: fitted; population, the average over new "
            "groups; or none.  [default: fitted if rows name their groups]",
        ),
        click.option(
            "--kind",
            type=click.Choice(get_args(EffectKind)),
            default="epred",
            show_default=True,
            help="Expected outcomes (epred), or linear predictors (linpred).",
        ),
        click.option(
            "--hypothesis",
            multiple=True,
            metavar="TEXT",
            help="Test a hypothesis about the quantities, as in 'b2 > b1'.",
        ),
        _SHOWN,
        reads_data,
    )
)


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
@_SHOWN
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
    from stanpool.inference.prediction.summaries import predict_table

    try_places(None, out)
    fit = load(fitted)
    if source is None:
        table = predict_table(fit, **options)
    else:
        rows = _rows_of(source, fit)
        with source.explained():
            table = predict_table(fit, rows, **options)
        if source.dropna:
            table.index = rows.index
    _show(table.rename_axis("row").reset_index(), out, as_json)


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


@click.command(
    epilog="""\b
Examples:
  stanpool predictions votes.fit --by region
  stanpool predictions votes.fit --variables age=20,60 --groups population
  stanpool predictions votes.fit people.csv --weights n --average"""
)
@_OF_EFFECTS
def predictions(**options: Any) -> None:
    """Average expected outcomes of a saved FIT over rows.

    The rows are those of DATA or, without it, those that were fitted. With --variables
    all rows get these values. Prints CSV with a line for each quantity: estimate,
    interval, the probability of its sign, and which group effects enter.
    """
    _show_effects("predictions", **options)


@click.command(
    epilog="""\b
Examples:
  stanpool comparisons votes.fit --variables age=20,60 --by region
  stanpool comparisons votes.fit --variables region=pairwise --comparison ratio
  stanpool comparisons votes.fit --variables age --newdata mean --each-row"""
)
@click.option(
    "--comparison",
    type=click.Choice(get_args(Comparison)),
    default="difference",
    show_default=True,
    help="How expected outcomes are compared.",
)
@click.option(
    "--cross",
    type=click.Choice(get_args(Cross)),
    help="Change all variables at once (both), or compare the comparisons of one at "
    "two values of the other (interaction).",
)
@_OF_EFFECTS
def comparisons(**options: Any) -> None:
    """Compare expected outcomes of a saved FIT at two values of a variable.

    The rows are those of DATA or, without it, those that were fitted; all else is as it
    is. Prints CSV with a line for each quantity: estimate, interval, the probability of
    its direction, and which group effects enter.
    """
    _show_effects("comparisons", **options)


@click.command(
    epilog="""\b
Examples:
  stanpool slopes votes.fit --variables age --by region
  stanpool slopes votes.fit --variables income --slope eyex"""
)
@click.option(
    "--slope",
    type=click.Choice(get_args(SlopeKind)),
    default="dydx",
    show_default=True,
    help="The slope (dydx), the elasticity (eyex), or one that is relative to y only "
    "(eydx) or to x only (dyex).",
)
@_OF_EFFECTS
def slopes(**options: Any) -> None:
    """Average the slopes of expected outcomes of a saved FIT.

    The rows are those of DATA or, without it, those that were fitted. Prints CSV with a
    line for each quantity: estimate, interval, the probability of its direction, and
    which group effects enter.
    """
    _show_effects("slopes", **options)


def _show_effects(
    verb: str,
    *,
    fitted: Path,
    source: Source | None,
    variables: tuple[str, ...],
    newdata: str | None,
    by: tuple[str, ...],
    average: bool | None,
    weights: str | None,
    groups: tuple[str, ...],
    hypothesis: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    **others: Any,
) -> None:
    """Call a method of a saved fit that returns effects, and show their table."""
    from stanpool.api.facade import load

    try_places(None, out)
    _check_one("DATA and --newdata", source, newdata)
    _check_one("--by and --average or --each-row", by or None, average)
    fit = load(fitted)
    rows: Any = newdata
    if source is not None:
        rows = _rows_of(source, fit, *by, *([weights] if weights else []))
    with nullcontext() if source is None else source.explained():
        table = getattr(fit, verb)(
            _values(fit.model, variables),
            newdata=rows,
            by=list(by) or average,
            weights=weights,
            groups=_words(groups),
            hypothesis=list(hypothesis) or None,
            **others,
        )
    _show(table, out, as_json)


def _check_one(what: str, first: object, second: object) -> None:
    if first is not None and second is not None:
        raise SpecError(f"{what} exclude each other; give one of them.")


def _rows_of(source: Source, fit: Fit, *others: str) -> pd.DataFrame:
    """Read rows, in which what the model uses and other columns may not be missing."""
    from stanpool.language.formulas.formula import outcome_name

    outcome = outcome_name(fit.model.spec)
    names = [name for name in fit.model.data.columns if name != outcome]
    return source.table(lambda _: [*names, *others])


def _values(model: Model, texts: Sequence[str]) -> Any:
    """Return what is asked of each variable, or the names alone; None of none.

    Levels of factors are left as texts, and everything else is a number if it can be.
    """
    asked = dict(_split(text, [*map(str, model.data.columns)]) for text in texts)
    if not any(asked.values()):
        return list(asked) or None
    found: dict[str, Any] = {}
    for name, text in asked.items():
        found[name] = None
        if text:
            words = next(csv.reader([text], skipinitialspace=True))
            is_text = name not in model.data or model.data[name].dtype.kind not in "iuf"
            values = words if is_text else [_number(word) for word in words]
            found[name] = values if len(values) > 1 else values[0]
    return found


def _split(text: str, columns: Sequence[str]) -> tuple[str, str]:
    """Split ``age=20,60``; a name may itself have an equals sign."""
    if text in columns:
        return text, ""
    known = [each for each in columns if text.startswith(f"{each}=")]
    name = max(known, key=len, default=text.partition("=")[0])
    return name, text[len(name) + 1 :]


def _number(word: str) -> Any:
    try:
        return float(word)
    except ValueError:
        return word


def _words(texts: Sequence[str]) -> str | Mapping[str, str] | None:
    """Return which group effects enter: one word for all factors, or one for each."""
    if not texts:
        return None
    split = [text.rpartition("=") for text in texts]
    if len(split) == 1 and not split[0][1]:
        return texts[0]
    bare = [word for _, equals, word in split if not equals]
    if bare:
        words = quote_list(get_args(EffectGroups))
        raise SpecError(
            f"--groups {quote(bare[0])} is not FACTOR=WORD. Give one of {words} for "
            "all factors, or FACTOR=WORD for each of several."
        )
    return {name: word for name, _, word in split}


def _show(table: pd.DataFrame, out: Path | None, as_json: bool) -> None:
    """Write a table to a file, or print it as JSON or CSV."""
    if out is not None:
        from stanpool.base.table_files import write_table

        write_table(table, out)
    elif as_json:
        echo_json(table.set_index(table.columns[0]))
    else:
        click.echo(table.to_csv(index=False).encode("utf-8"), nl=False)  # as files are
