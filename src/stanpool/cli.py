"""The command ``stanpool``.

Exit codes: 0 fine, 1 the diagnosis found problems and ``--strict``, 2 bad input, 3
trouble with the engine, 130 interrupted, 143 ended by SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args

import click
from click.shell_completion import CompletionItem

from stanpool import __version__
from stanpool.base.errors import (
    EngineError,
    PathTakenError,
    SpecError,
    StanpoolError,
    StorageWarning,
    quote,
)
from stanpool.base.options import (
    Link,
    NewGroups,
    Parameterization,
    Pooling,
    PredictionKind,
    Unit,
)
from stanpool.base.progress import verbose_logging
from stanpool.language.family import DEFAULT_FAMILY, FAMILIES

if TYPE_CHECKING:
    from stanpool.api.facade import Fit, Model
    from stanpool.data.sources import Source
    from stanpool.inference.diagnostics import Diagnosis

FOUND_PROBLEMS, BAD_INPUT, ENGINE_TROUBLE, INTERRUPTED = 1, 2, 3, 130
_NOT_KEPT = f"{__name__}.not_kept"


class _Group(click.Group):
    """Commands whose errors are messages, not tracebacks."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command and turn what goes wrong into messages and exit codes."""
        with warnings.catch_warnings(), _orderly_end():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(context)
            except EngineError as error:
                _complain(error)
                context.exit(ENGINE_TROUBLE)
            except BrokenPipeError:  # nobody reads any more, as after "| head"
                _let_output_go()
                context.exit(BAD_INPUT)
            except (StanpoolError, OSError) as error:
                _complain(error)
                _let_output_go()
                context.exit(BAD_INPUT)
            except KeyboardInterrupt:
                click.echo("stanpool: interrupted.", err=True)
                context.exit(INTERRUPTED)


def _complain(error: Exception) -> None:
    click.echo(f"stanpool: {error}", err=True)


def _let_output_go() -> None:
    """Send what is left for standard output nowhere, if it cannot be written.

    Python would try once more at its end, and show a traceback.
    """
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _orderly_end() -> Iterator[None]:
    """End as at Ctrl-C, chains and temporary files gone, where the system ends us.

    Batch systems and ``docker stop`` send SIGTERM, a terminal that is closed SIGHUP.
    """

    def end(number: int, _: Any) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # once is enough
        raise SystemExit(128 + number)

    heard = []
    if threading.current_thread() is threading.main_thread():
        signs = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
        heard = [each for each in signs if each and not _is_handled(each)]
    for each in heard:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in heard:
            signal.signal(each, signal.SIG_DFL)


def _is_handled(sign: signal.Signals) -> bool:
    """Say whether somebody else hears a signal or, as nohup does, ignores it."""
    return signal.getsignal(sign) is not signal.SIG_DFL


def _show_warning(
    message: Warning | str, category: type[Warning], *_: Any, **__: Any
) -> None:
    """Write a warning as a message, without the line of code that it comes from."""
    click.echo(f"stanpool: warning: {message}", err=True)
    if issubclass(category, StorageWarning):
        click.get_current_context().meta[_NOT_KEPT] = True


_PATH = click.Path(path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FIT = click.Path(exists=True, file_okay=False, path_type=Path)

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_quiet = click.option("-q", "--quiet", is_flag=True, help="No progress bars.")
_verbose = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    # The root's context is closed in any case, that of a command not if another of its
    # options is wrong.
    callback=lambda context, _, wanted: context.find_root().with_resource(
        verbose_logging(wanted)
    ),
    help="Say how each stage came out, and what Stan said.",
)
_pooling = click.option(
    "--pooling",
    type=click.Choice(get_args(Pooling)),
    default="partial",
    show_default=True,
)
_seed = click.option(
    "--seed", type=click.IntRange(0), help="Makes it reproducible.  [default: random]"
)


def _data_sets(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a data set that stanpool ships."""
    from stanpool.data.datasets import list_datasets

    names = list_datasets()
    return [CompletionItem(each) for each in names if each.startswith(incomplete)]


_READING: Sequence[Callable[..., Any]] = (
    click.option("--sep", help="Between columns.  [default: found in the first line]"),
    click.option("--decimal", default=".", help="The mark in 1.5.  [default: .]"),
    click.option("--thousands", help="The mark in 1,000.  [default: none]"),
    click.option("--encoding", default="utf-8", show_default=True, help="Of CSV."),
    click.option(
        "--na",
        metavar="WORDS",
        help="What means missing in CSV, with commas, beside nothing at all; '' for no "
        "word.  [default: NA, NaN, None, null, n/a and the like]",
    ),
    click.option("--dropna", is_flag=True, help="Leave rows out that miss something."),
)


def _reads_data(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of reading, handed on as ``source``."""

    def reading(
        data: Path | None,
        sep: str | None,
        decimal: str,
        thousands: str | None,
        encoding: str,
        na: str | None,
        dropna: bool,
        **others: Any,
    ) -> Any:
        if data is None:
            return command(source=None, **others)
        from stanpool.base.table_files import CsvFormat
        from stanpool.data.sources import Source

        words = None if na is None else tuple(each.strip() for each in na.split(","))
        form = CsvFormat(sep, decimal, thousands, encoding, words)
        tell = partial(click.echo, err=True)
        source = Source(data, form, dropna, lambda text: tell(f"stanpool: {text}"))
        return command(source=source, **others)

    return _all_of(_like(command, reading), _READING)


def _like(command: Callable[..., Any], new: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function the name, help and options of another."""
    new.__name__, new.__doc__ = command.__name__, command.__doc__
    new.__click_params__ = getattr(  # type: ignore[attr-defined]
        command, "__click_params__", []
    )
    return new


def _states_a_model(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument and options that state a model, handed on as ``stated``."""
    options: Sequence[Callable[..., Any]] = (
        click.argument("data", type=click.Path(path_type=Path, allow_dash=True)),
        _reads_data,
        click.option(
            "--formula",
            required=True,
            multiple=True,
            help="As in 'y ~ x + (1 + x | g)'. A second one may state the residual: "
            "'sigma ~ (1 | g)'.",
        ),
        click.option(
            "--family",
            type=click.Choice(list(FAMILIES)),
            default=DEFAULT_FAMILY,
            show_default=True,
        ),
        click.option("--link", help="Other than the family's own, such as probit."),
        click.option(
            "--parameterization",
            type=click.Choice(get_args(Parameterization)),
            default="auto",
            show_default=True,
        ),
        click.option(
            "--group-predictor",
            "group_predictors",
            multiple=True,
            metavar="COLUMN",
            help="A predictor that must be constant within groups.",
        ),
        click.option(
            "--prior",
            "priors",
            multiple=True,
            metavar="NAME=DIST",
            help="As in 'tau_county=exponential(1)' or 'beta[floor]=normal(0, 1)'.",
        ),
        click.option(
            "--chunked",
            is_flag=True,
            help="Read DATA once, in chunks, and keep what the likelihood needs: for "
            "files of CSV or Parquet, and folders of Parquet, larger than memory.",
        ),
    )

    def stating(
        source: Source,
        formula: tuple[str, ...],
        family: str,
        link: Link | None,
        parameterization: Parameterization,
        group_predictors: tuple[str, ...],
        priors: tuple[str, ...],
        chunked: bool,
        pooling: Pooling = "partial",
        **others: Any,
    ) -> Any:
        def state() -> Model:
            from stanpool.api.facade import Model
            from stanpool.base.table_files import CsvFormat

            stated = formula[0] if len(formula) == 1 else list(formula)
            names: Any = tuple
            if source.dropna:
                names = _names_used(stated, family=family, pooling=pooling)
            data: Any = source.path
            if not chunked:
                data = source.table(names)
            elif source.dropna or source.form != CsvFormat():
                data = partial(source.chunks, names)
            with source.explained():
                return Model(
                    stated,
                    data,
                    family=family,
                    link=link,
                    pooling=pooling,
                    parameterization=parameterization,
                    group_predictors=group_predictors,
                    priors=dict(map(_split_prior, priors)),
                )

        return command(state, **others)

    return _all_of(_like(command, stating), options)


def _names_used(
    formula: str | Sequence[str], **options: Any
) -> Callable[[set[Any]], list[str]]:
    """Return a function that says which of the columns a formula uses."""
    from stanpool.data.columns import names_in
    from stanpool.language.formula import parse_formulas
    from stanpool.language.model_spec import ModelSpec

    parsed, residual = parse_formulas(formula)
    spec = ModelSpec(**vars(parsed), residual=residual, **options)
    # The upper end of an interval may be missing where there is none.
    return lambda known: [x for x in names_in(spec, known) if x != spec.cens_upper]


def _all_of(
    command: Callable[..., Any], options: Sequence[Callable[..., Any]]
) -> Callable[..., Any]:
    """Decorate a command with options, the first of which is shown first."""
    for option in reversed(options):
        command = option(command)
    return command


_SETTINGS: Sequence[Callable[..., Any]] = (
    click.option("--chains", type=click.IntRange(1), default=4, show_default=True),
    click.option(
        "--draws",
        type=click.IntRange(1),
        default=1000,
        show_default=True,
        help="Of each chain, after warm-up.",
    ),
    click.option(
        "--warmup",
        type=click.IntRange(0),
        help="By default 500 in the marginal form, else 1000.",
    ),
    _seed,
    click.option(
        "--adapt-delta",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="Target acceptance rate; by default 0.8, of few groups 0.9.",
    ),
    click.option(
        "--max-treedepth", type=click.IntRange(1), default=10, show_default=True
    ),
)


def _sets_the_sampler(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of sampling."""
    return _all_of(command, _SETTINGS)


def _split_prior(text: str) -> tuple[str, str]:
    """Split ``tau=exponential(1)``; a name may itself have an equals sign."""
    name, equals, distribution = text.rpartition("=")
    if not equals or not name.strip():
        raise SpecError(
            f"--prior {quote(text)} is not NAME=DIST, as in 'tau=exponential(1)'."
        )
    return name.strip(), distribution.strip()


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  stanpool fit radon --formula 'log_radon ~ floor + (1 | county)' --out radon.fit
  stanpool report radon.fit --out radon.html
  stanpool predict radon.fit new_houses.csv --new-groups population

\b
Completion of commands, options and file names with the TAB key:
  eval "$(_STANPOOL_COMPLETE=bash_source stanpool)"      # bash; or zsh_source
  _STANPOOL_COMPLETE=fish_source stanpool | source       # fish""",
)
@click.version_option(__version__, prog_name="stanpool")
def main() -> None:
    """Hierarchical models in three pooling templates, on real Stan.

    DATA is a file of CSV, Parquet or Feather, "-" for CSV on standard input, or the
    name of a data set that is part of stanpool (see "stanpool datasets"). Results go to
    standard output, progress and messages to standard error.

    Exit codes: 0 fine; 1 problems were found and --strict was given; 2 bad input; 3
    trouble with the engine; 130 interrupted.
    """


@main.command(
    epilog="""\b
Examples:
  stanpool fit radon.csv --formula 'log_radon ~ floor + (1 | county)' --seed 1
  stanpool fit cbpp --family binomial --out cbpp.fit \\
      --formula 'incidence | trials(size) ~ period + (1 | herd)'
  stanpool fit radon --formula 'log_radon ~ floor + (1 | county)' \\
      --prior 'tau_county=exponential(1)' --prior 'beta[floor]=normal(0, 1)' \\
      --strict --json > radon.json"""
)
@_states_a_model
@_pooling
@_sets_the_sampler
@click.option("--out", type=_FOLDER, help="Keep the fit in this folder.")
@click.option("--overwrite", is_flag=True, help="Replace a fit that is there.")
@click.option(
    "--reuse",
    is_flag=True,
    help="Take the fit that is there if it would come out the same; else replace it.",
)
@click.option("--report", type=_PATH, help="Write it up as one HTML file.")
@click.option("--strict", is_flag=True, help="Exit with 1 if problems are found.")
@_json
@_verbose
@_quiet
@click.pass_context
def fit(
    context: click.Context,
    /,
    state: Callable[[], Model],
    out: Path | None,
    overwrite: bool,
    reuse: bool,
    report: Path | None,
    strict: bool,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Fit a model to DATA; print estimates and whether they can be trusted."""
    if reuse and out is None:
        raise SpecError("--reuse needs --out, the folder of the fit.")
    _try_places(out, report, overwrite=overwrite or reuse)
    model = state()
    settings["file"] = out if reuse else None
    fitted = model.fit(progress=not quiet, **settings)
    try:
        diagnosis = fitted.diagnose()
        _show_fit(fitted, diagnosis, as_json=as_json)
    finally:  # also if nobody reads what is shown
        if out is not None and not reuse:
            fitted.save(out, overwrite=overwrite)
    kept = out is not None and _NOT_KEPT not in context.meta
    if report is not None:
        fitted.report(report)
    for what, where in (("kept in", out if kept else None), ("written up in", report)):
        if where is not None:
            click.echo(f"stanpool: {what} {str(where)!r}", err=True)
    if out is not None and not kept:
        context.exit(BAD_INPUT)
    context.exit(FOUND_PROBLEMS if strict and not diagnosis.ok else 0)


def _try_places(
    out: Path | None, file: Path | None, *, overwrite: bool = False
) -> None:
    """Find out before a long task whether its results can be written.

    They are a kept fit in a folder ``out``, and a file.
    """
    if out is not None:
        from stanpool.sampling.storage import try_saving

        try:
            try_saving(out, overwrite=overwrite)
        except PathTakenError as problem:
            options = "--overwrite replaces the fit, --reuse takes it if it is the same"
            text = str(problem).replace("or pass overwrite=True", options)
            raise PathTakenError(text) from None
    if file is not None:
        from stanpool.base.files import try_writing

        try_writing(file)


def _show_fit(fitted: Fit, diagnosis: Diagnosis, *, as_json: bool) -> None:
    """Print estimates and the verdict, for people or for programs."""
    if as_json:
        from stanpool.base.table_files import as_json as written
        from stanpool.report import fit_record

        record = fit_record(fitted, diagnosis, summary=fitted.summary())
        click.echo(written(record))
    else:
        click.echo(_told(fitted, diagnosis))


def _told(fitted: Fit, diagnosis: Diagnosis) -> str:
    """Write a fit for a person to read."""
    from stanpool.posterior.scalars import short_label

    table = fitted.summary(groups=False).rename(index=short_label)
    text = table.to_string(float_format=lambda value: f"{value:.4g}")
    return f"{fitted!r}\n\n{text}\n\n{diagnosis}"


@main.command(
    epilog="""\b
Examples:
  stanpool compare centered.fit noncentered.fit
  stanpool compare complete.fit none.fit partial.fit --unit group
  stanpool compare fits/*.fit --json"""
)
@click.argument("fits", nargs=-1, required=True, type=_FIT, metavar="FIT...")
@click.option(
    "--unit",
    type=click.Choice([*get_args(Unit), "none"]),
    default="row",
    show_default=True,
    help="What fits are ranked by predicting unseen (leave-one-out).",
)
@_json
def compare(
    fits: tuple[Path, ...], unit: Unit | Literal["none"], as_json: bool
) -> None:
    """Put kept fits side by side, and rank them by what they predict.

    Shows estimates, how well each was sampled, and, of fits of the same data, which
    one the data prefer.
    """
    from stanpool.api.facade import load
    from stanpool.base import table_files
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
    click.echo(
        table_files.as_json(
            {
                "sampling": comparison.table.rename_axis("fit"),
                "estimates": estimates,
                "advice": comparison.advice,
                "ranking": None if ranking is None else ranking.table,
                "verdict": None if ranking is None else ranking.verdict,
            }
        )
    )


@main.command(
    epilog="""\b
Examples:
  stanpool compare-pooling radon --formula 'log_radon ~ floor + (1 | county)' --seed 1
  stanpool compare-pooling radon --formula 'log_radon ~ floor + (1 | county)' \\
      --folds 10 --report poolings.html"""
)
@_states_a_model
@_sets_the_sampler
@click.option(
    "--folds",
    type=click.IntRange(2),
    help="Refit in so many folds.  [default: leave one out without refitting]",
)
@click.option("--report", type=_PATH, help="Write it up as one HTML file.")
@_json
@_verbose
@_quiet
def compare_pooling(
    state: Callable[[], Model],
    folds: int | None,
    report: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Fit DATA with complete, no and partial pooling, and say which predicts best."""
    from stanpool.studies.poolings import compare_pooling as compared

    _try_places(None, report)
    poolings = compared(state(), folds=folds, progress=not quiet, **settings)
    if as_json:
        from stanpool.base.table_files import as_json as written
        from stanpool.studies.pooling_report import pooling_record

        click.echo(written(pooling_record(poolings)))
    else:
        click.echo(str(poolings))
    if report is not None:
        from stanpool.studies.pooling_report import report_comparison

        report_comparison(poolings, report)
        click.echo(f"stanpool: written up in {str(report)!r}", err=True)


@main.command(
    epilog="""\b
Examples:
  stanpool predict radon.fit
  stanpool predict radon.fit new_houses.csv --new-groups population --out new.parquet
  sqlite3 -csv -header houses.db 'select * from new' | stanpool predict radon.fit -"""
)
@click.argument("fitted", type=_FIT, metavar="FIT")
@click.argument(
    "data", type=click.Path(path_type=Path, allow_dash=True), required=False
)
@_reads_data
@click.option(
    "--kind",
    type=click.Choice(get_args(PredictionKind)),
    default="predict",
    show_default=True,
    help="Outcomes, their expectation, or the linear predictor.",
)
@click.option(
    "--new-groups",
    type=click.Choice(get_args(NewGroups)),
    default="error",
    show_default=True,
    help="What to do about groups that the fit has not seen.",
)
@click.option(
    "--prob",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Probability of the intervals.",
)
@click.option("--draws", type=click.IntRange(1), help="How many draws to use.")
@_seed
@click.option("--out", type=_PATH, help="Write a file of CSV, Parquet or Feather.")
@_json
def predict(
    fitted: Path,
    source: Source | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Predict the rows of DATA, or those fitted, from a kept FIT.

    Prints CSV with a line for each row: mean, sd, median and an interval; for
    outcomes that are categories, their probabilities.
    """
    from stanpool.api.facade import load
    from stanpool.base import table_files
    from stanpool.inference.prediction.predict import predict_table
    from stanpool.language.formula import outcome_name

    _try_places(None, out)
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
        table_files.write_table(table.reset_index(), out)
    elif as_json:
        click.echo(table_files.as_json(table))
    else:
        click.echo(table.to_csv(), nl=False)


@main.command(
    epilog="""\b
Examples:
  stanpool report radon.fit
  stanpool report radon.fit --out reports/radon.html --title 'Radon in Minnesota'"""
)
@click.argument("fitted", type=_FIT, metavar="FIT")
@click.option(
    "--out", type=_PATH, help="The file.  [default: the name of FIT, with .html]"
)
@click.option("--title", help="[default: the formula]")
@click.option("--no-loo", is_flag=True, help="Do not leave rows out.")
def report(fitted: Path, out: Path | None, title: str | None, no_loo: bool) -> None:
    """Write a kept FIT up as one HTML file that opens without a network."""
    from stanpool.api.facade import load
    from stanpool.report import write_report

    path = Path(fitted.resolve().with_suffix(".html").name) if out is None else out
    _try_places(None, path)
    written = write_report(load(fitted), path, title=title, loo=not no_loo)
    click.echo(click.format_filename(written))


@main.command(
    epilog="""\b
Examples:
  stanpool code radon --formula 'log_radon ~ floor + (1 | county)' > radon.stan
  stanpool code radon --formula 'log_radon ~ floor + (1 | county)' \\
      --stan-data radon.json"""
)
@_states_a_model
@_pooling
@click.option("--stan-data", type=_PATH, help="Write the data of the program here.")
@_json
def code(state: Callable[[], Model], stan_data: Path | None, as_json: bool) -> None:
    """Print the Stan program of a model, to read or to take elsewhere."""
    from stanpool.base import table_files

    model = state()
    if stan_data is not None:
        from stanpool.base.files import write_text

        write_text(stan_data, table_files.as_json(model.stan_data(), indent=None))
    if as_json:
        both = {"program": model.stan_code, "data": model.stan_data()}
        click.echo(table_files.as_json(both))
    else:
        click.echo(model.stan_code)


@main.command(
    epilog="""\b
Examples:
  stanpool datasets
  stanpool datasets radon
  stanpool datasets radon --out radon.csv"""
)
@click.argument("name", required=False, shell_complete=_data_sets)
@click.option("--out", type=_PATH, help="Write it as CSV, Parquet or Feather.")
@_json
def datasets(name: str | None, out: Path | None, as_json: bool) -> None:
    """List the data sets that come along, or describe or write one."""
    from stanpool.base import table_files
    from stanpool.data.datasets import describe_dataset, list_datasets, load_dataset

    if name is None and out is not None:
        raise SpecError("--out needs the name of a data set.")
    names = list_datasets() if name is None else (name,)
    if out is not None:
        table_files.write_table(load_dataset(names[0]), out)
    elif as_json:
        texts = {each: describe_dataset(each) for each in names}
        click.echo(table_files.as_json(texts))
    elif name is not None:
        click.echo(describe_dataset(name))
    else:
        for each in names:
            first = describe_dataset(each).split("\n\n")[1]
            click.echo(f"{each:<18} {first}")


@main.command(
    epilog="""\b
Examples:
  stanpool demo
  stanpool demo --out figures --seed 2"""
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder for the figure.  [default: the current one]",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@_verbose
@_quiet
def demo(out: Path, seed: int, quiet: bool) -> None:
    """Fit the radon data in three poolings and two forms, and report."""
    from stanpool.studies.demo import run_demo

    run_demo(
        out,
        seed=seed,
        progress=not quiet,
        write=lambda text: click.echo(f"\n{text}"),
    )


@main.command(
    epilog="""\b
Examples:
  stanpool setup
  stanpool setup --official
  stanpool setup --wheel httpstan-4.13.0-cp311-cp311-manylinux_2_35_x86_64.whl"""
)
@click.option("--official", is_flag=True, help="Install CmdStan through cmdstanpy.")
@click.option(
    "--wheel",
    "wheels",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A wheel of httpstan (or ziglang) to use where there is no package index; "
    "may be given twice.",
)
@click.option("--force", is_flag=True, help="Build the engine again.")
@_verbose
@_quiet
def setup(official: bool, wheels: tuple[Path, ...], force: bool, quiet: bool) -> None:
    """Find Stan, or set up an engine for it, once for all projects."""
    from stanpool.engine.install import upkeep

    home = upkeep.setup(
        official=official, wheels=wheels, force=force, progress=not quiet
    )
    click.echo(f"Stan is ready: {home}")


def _words(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Split a list with commas."""
    return tuple(word.strip() for word in (value or "").split(",") if word.strip())


def _whole_numbers(
    context: click.Context, parameter: click.Parameter, value: str
) -> tuple[int, ...]:
    """Split a list of whole numbers with commas."""
    words = _words(context, parameter, value)
    if not words or not all(word.isascii() and word.isdigit() for word in words):
        raise click.BadParameter(
            f"{value!r} must be a list of whole numbers, as in 1,2,3."
        )
    return tuple(map(int, words))


@main.command(
    epilog="""\b
Examples:
  stanpool bench --quick
  stanpool bench --work radon,sparse --tools auto,bambi-nutpie --seeds 1,2,3
  stanpool bench --list"""
)
@click.option("--work", callback=_words, help="Names with commas.  [default: all]")
@click.option(
    "--tools", callback=_words, help="Names with commas.  [default: those of each work]"
)
@click.option(
    "--seeds",
    callback=_whole_numbers,
    default="1,2,3",
    show_default=True,
    help="Medians are over these.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(0, min_open=True),
    default=600,
    show_default=True,
    help="Seconds that one fit may take.",
)
@click.option("--quick", is_flag=True, help="Three small works with one seed.")
@click.option(
    "--out",
    type=_FOLDER,
    default=Path("stanpool-bench"),
    show_default=True,
    help="Folder of the results; what is there already is not fitted again.",
)
@click.option("--list", "listing", is_flag=True, help="List works and tools.")
@_json
@_quiet
def bench(
    work: tuple[str, ...],
    tools: tuple[str, ...],
    seeds: tuple[int, ...],
    time_limit: float,
    quick: bool,
    out: Path,
    listing: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare speeds of stanpool's forms and its peers on the same works.

    Each fit has a process and two cores of its own. Peers come with "pip install
    stanpool[bench]", for Python 3.12 and later. Results are written to bench.json,
    bench.txt and bench.png.
    """
    from stanpool import bench as suite
    from stanpool.base.table_files import as_json as written

    if listing:
        for known in (suite.WORKS, suite.TOOLS):
            for each in known.values():
                click.echo(f"{each.name:<24} {each.about}")
            click.echo()
        return
    if quick:
        seeds, work = seeds[:1], work or suite.QUICK
    settings = suite.Settings(work, tools, seeds, time_limit)
    tell = None if quiet else lambda cell: click.echo(suite.cell_text(cell), err=True)
    cells = suite.run_bench(settings, out, tell=tell)
    text, record = suite.bench_text(cells), written(suite.bench_record(cells))
    click.echo(record if as_json else text)
    suite.write_results(cells, out)
    click.echo(f"stanpool: results in {str(out)!r}", err=True)


@main.command(
    epilog="""\b
Examples:
  stanpool doctor
  stanpool doctor --json"""
)
@_json
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Show which Stan engine is installed, and what to do if something is wrong."""
    import json
    from dataclasses import asdict

    from stanpool.engine.install import upkeep

    checkup = upkeep.doctor()
    click.echo(json.dumps(asdict(checkup), indent=2) if as_json else str(checkup))
    context.exit(0 if checkup.ok else ENGINE_TROUBLE)


@main.command(
    epilog="""\b
Examples:
  stanpool clean
  stanpool clean --all --yes"""
)
@click.option("--all", "everything", is_flag=True, help="Remove the engine, too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def clean(everything: bool, yes: bool) -> None:
    """Remove compiled programs and engines that are out of date."""
    from stanpool.engine import cache_folder
    from stanpool.engine.install import upkeep

    found = upkeep.clean(everything=everything, dry_run=True)
    for part, size in found.items():
        click.echo(f"{part:<9} {size / 1e6:8,.0f} MB")
    if not any(found.values()):
        click.echo(f"There is nothing to remove in {cache_folder()}.")
        return
    if not yes:
        click.confirm(f"Remove this from {cache_folder()}?", abort=True)
    freed = upkeep.clean(everything=everything)
    click.echo(f"Removed {sum(freed.values()) / 1e6:,.0f} MB.")
