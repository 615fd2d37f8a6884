"""The command that runs the benchmarks."""

from __future__ import annotations

import re
from pathlib import Path

import click

from stanpool.base.errors import quote
from stanpool.cli.options import FOLDER, echo_json, json_option, quiet_option


def _words(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Split a list of words that are separated by commas."""
    return tuple(word.strip() for word in (value or "").split(",") if word.strip())


def _whole_numbers(
    context: click.Context, parameter: click.Parameter, value: str
) -> tuple[int, ...]:
    """Split a list of whole numbers that are separated by commas."""
    words = _words(context, parameter, value)
    if not words or not all(re.fullmatch("[0-9]{1,10}", word) for word in words):
        raise click.BadParameter(
            f"{quote(value)} must be a list of whole numbers, as in 1,2,3."
        )
    return tuple(map(int, words))


@click.command(
    epilog="""\b
Examples:
  stanpool bench --quick
  stanpool bench --benchmarks radon,sparse --tools auto,bambi-nutpie --seeds 1,2,3
  stanpool bench --list"""
)
@click.option(
    "--benchmarks",
    callback=_words,
    help="Names of benchmarks, separated by commas.  [default: all]",
)
@click.option(
    "--tools",
    callback=_words,
    help="Names of tools, separated by commas.  [default: those of each benchmark]",
)
@click.option(
    "--seeds",
    callback=_whole_numbers,
    default="1",
    show_default=True,
    help="Seeds, separated by commas; results are medians over them.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(0, min_open=True),
    default=60,
    show_default=True,
    help="Most CPU seconds that a process of one fit may take.",
)
@click.option("--quick", is_flag=True, help="Run three small benchmarks with one seed.")
@click.option(
    "--out",
    type=FOLDER,
    default=Path("stanpool-bench"),
    show_default=True,
    help="Folder of the results; fits whose results are there are not run again.",
)
@click.option(
    "--list", "listing", is_flag=True, help="List the benchmarks and the tools."
)
@json_option
@quiet_option
def bench(
    benchmarks: tuple[str, ...],
    tools: tuple[str, ...],
    seeds: tuple[int, ...],
    time_limit: float,
    quick: bool,
    out: Path,
    listing: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare the speed of stanpool and other tools.

    A benchmark is a model and its data set, and a tool is stanpool in one of its
    parameterizations or another package. Tools are compared by effective draws per
    CPU second. Each fit runs in its own process on two cores. The peers are installed
    by "pip install stanpool[bench]" (Python 3.12 and later), and brms and lme4 in R;
    what is missing is left out, and the results say so.
    Results are written to bench.json, bench.txt and bench.png.
    """
    from stanpool import bench as suite

    if listing:
        for what, known in (("Benchmarks", suite.BENCHMARKS), ("Tools", suite.TOOLS)):
            click.echo(f"{what}:")
            for each in known.values():
                click.echo(f"  {each.name:<24}{each.about}")
        return
    if quick:
        seeds, benchmarks = seeds[:1], benchmarks or suite.QUICK
    settings = suite.Settings(benchmarks, tools, seeds, time_limit)
    tell = None if quiet else lambda cell: click.echo(suite.cell_text(cell), err=True)
    cells = suite.run_bench(settings, out, tell=tell)
    if as_json:
        echo_json(suite.bench_record(cells))
    else:
        click.echo(suite.bench_text(cells))
    suite.write_results(cells, out)
    click.echo(f"stanpool: the results are in {str(out)!r}", err=True)
