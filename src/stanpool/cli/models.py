"""Commands that state a model of DATA: fit, compare-pooling and code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stanpool.base.errors import SpecError
from stanpool.cli.exits import BAD_INPUT, FOUND_PROBLEMS, NOT_SAVED
from stanpool.cli.model_options import states_a_model
from stanpool.cli.options import (
    FOLDER,
    PATH,
    echo_json,
    json_option,
    method_options,
    pooling_option,
    quiet_option,
    sampler_options,
    try_places,
    verbose_option,
)

if TYPE_CHECKING:
    from stanpool.api.facade import Fit, Model
    from stanpool.inference.diagnostics import Diagnosis


@click.command(
    epilog="""\b
Examples:
  stanpool fit radon --formula 'log_radon ~ floor + (1 | county)' --seed 1
  stanpool fit cbpp --family binomial --out cbpp.fit \\
      --formula 'incidence | trials(size) ~ C(period) + (1 | herd)'
  stanpool fit radon --formula 'log_radon ~ floor + (1 | county)' \\
      --prior 'tau_county=exponential(1)' --prior 'beta[floor]=normal(0, 1)' \\
      --strict --json > radon.json
  stanpool fit radon --formula 'log_radon ~ floor + (1 | county)' --method laplace"""
)
@states_a_model
@pooling_option
@sampler_options
@method_options
@click.option("--out", type=FOLDER, help="Save the fit in this folder.")
@click.option("--overwrite", is_flag=True, help="Replace a fit that is saved there.")
@click.option(
    "--reuse",
    is_flag=True,
    help="Use the fit that is saved there if nothing has changed since; otherwise, fit "
    "again and replace it.",
)
@click.option("--report", type=PATH, help="Write a report, one HTML file.")
@click.option("--strict", is_flag=True, help="Exit with 1 if problems are found.")
@json_option
@verbose_option
@quiet_option
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
    """Fit a model to DATA.

    Prints the estimates, and a diagnosis that says whether they can be trusted.
    """
    if reuse and out is None:
        raise SpecError("--reuse needs --out, the folder where the fit is saved.")
    try_places(out, report, overwrite=overwrite or reuse)
    model = state()
    settings["file"] = out if reuse else None
    fitted = model.fit(progress=not quiet, **settings)
    try:
        diagnosis = fitted.diagnose()
        _show_fit(fitted, diagnosis, as_json=as_json)
    finally:  # also if nobody reads what is shown
        if out is not None and not reuse:
            fitted.save(out, overwrite=overwrite)
    saved = out is not None and NOT_SAVED not in context.meta
    if report is not None:
        fitted.report(report)
    if saved:
        click.echo(f"stanpool: the fit is saved in {str(out)!r}", err=True)
    if report is not None:
        click.echo(f"stanpool: the report is {str(report)!r}", err=True)
    if out is not None and not saved:
        context.exit(BAD_INPUT)
    context.exit(FOUND_PROBLEMS if strict and not diagnosis.ok else 0)


def _show_fit(fitted: Fit, diagnosis: Diagnosis, *, as_json: bool) -> None:
    """Print the estimates and the diagnosis, as a table or as JSON."""
    if as_json:
        from stanpool.report import fit_record

        echo_json(fit_record(fitted, diagnosis, summary=fitted.summary()))
    else:
        click.echo(_fit_text(fitted, diagnosis))


def _fit_text(fitted: Fit, diagnosis: Diagnosis) -> str:
    """Write the estimates and the diagnosis as text."""
    return f"{fitted!r}\n\n{fitted.summary(groups=False)}\n\n{diagnosis}"


@click.command(
    epilog="""\b
Examples:
  stanpool compare-pooling radon --formula 'log_radon ~ floor + (1 | county)' --seed 1
  stanpool compare-pooling radon --formula 'log_radon ~ floor + (1 | county)' \\
      --folds 10 --report poolings.html"""
)
@states_a_model
@sampler_options
@click.option(
    "--folds",
    type=click.IntRange(2),
    help="Number of folds to refit in.  [default: leave-one-out, without refitting]",
)
@click.option("--report", type=PATH, help="Write a report, one HTML file.")
@json_option
@verbose_option
@quiet_option
def compare_pooling(
    state: Callable[[], Model],
    folds: int | None,
    report: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Compare three poolings of a model.

    Fits DATA with complete, no and partial pooling, and says which predicts best.
    """
    from stanpool.studies.pooling.poolings import compare_pooling as compared

    try_places(None, report)
    poolings = compared(state(), folds=folds, progress=not quiet, **settings)
    if as_json:
        from stanpool.studies.pooling.pooling_report import pooling_record

        echo_json(pooling_record(poolings))
    else:
        click.echo(str(poolings))
    if report is not None:
        from stanpool.studies.pooling.pooling_report import report_comparison

        report_comparison(poolings, report)
        click.echo(f"stanpool: the report is {str(report)!r}", err=True)


@click.command(
    epilog="""\b
Examples:
  stanpool code radon --formula 'log_radon ~ floor + (1 | county)' > radon.stan
  stanpool code radon --formula 'log_radon ~ floor + (1 | county)' \\
      --stan-data radon.json
  stanpool code radon --formula 'log_radon ~ floor + (1 | county)' --as latex"""
)
@states_a_model
@pooling_option
@click.option(
    "--stan-data", type=PATH, help="Write the data of the program to this file."
)
@click.option(
    "--as",
    "form",
    type=click.Choice(["stan", "equations", "latex", "dot"]),
    default="stan",
    help="Print the program, the equations of the model as text or in LaTeX, or its "
    "graph for Graphviz.  [default: stan]",
)
@json_option
def code(
    state: Callable[[], Model], stan_data: Path | None, form: str, as_json: bool
) -> None:
    """Print the Stan program of a model, or its equations or graph."""
    model = state()
    if stan_data is not None:
        from stanpool.base.system.files import write_text
        from stanpool.base.table_files import as_json as json_text

        write_text(stan_data, json_text(model.stan_data(), indent=None))
    if as_json:
        echo_json({"program": model.stan_code, "data": model.stan_data()})
    else:
        click.echo(_written(model, form))


def _written(model: Model, form: str) -> str:
    """Write a model as its program, its equations or its graph."""
    if form == "dot":
        return model.graph().dot
    if form == "latex":
        return model.equations().latex
    return model.equations().text if form == "equations" else model.stan_code
