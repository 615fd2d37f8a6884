"""Commands for what comes with stanpool: datasets and demo."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from stanpool.base.errors import SpecError
from stanpool.cli.options import (
    FOLDER,
    PATH,
    echo_json,
    json_option,
    quiet_option,
    verbose_option,
)


def _complete_name(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a data set."""
    from stanpool.data.datasets import list_datasets

    names = list_datasets()
    return [CompletionItem(each) for each in names if each.startswith(incomplete)]


@click.command(
    epilog="""\b
Examples:
  stanpool datasets
  stanpool datasets radon
  stanpool datasets radon --out radon.csv"""
)
@click.argument("name", required=False, shell_complete=_complete_name)
@click.option("--out", type=PATH, help="Write a CSV, Parquet or Feather file.")
@json_option
def datasets(name: str | None, out: Path | None, as_json: bool) -> None:
    """List, describe or write data sets.

    They are the data sets that are part of stanpool. Without NAME they are listed.
    """
    from stanpool.base.table_files import write_table
    from stanpool.data.datasets import describe_dataset, list_datasets, load_dataset

    if name is None and out is not None:
        raise SpecError("--out needs the name of a data set.")
    names = list_datasets() if name is None else (name,)
    if out is not None:
        write_table(load_dataset(names[0]), out)
    elif as_json:
        echo_json({each: describe_dataset(each) for each in names})
    elif name is not None:
        click.echo(describe_dataset(name))
    else:
        for each in names:
            first = describe_dataset(each).split("\n\n")[1]
            click.echo(f"{each:<18} {first}")


@click.command(
    epilog="""\b
Examples:
  stanpool demo
  stanpool demo --out figures --seed 2"""
)
@click.option(
    "--out",
    type=FOLDER,
    default=Path(),
    help="Folder for the figures.  [default: the current folder]",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@verbose_option
@quiet_option
def demo(out: Path, seed: int, quiet: bool) -> None:
    """Run an example, the eight schools.

    Fits them with each pooling, and with partial pooling in three parameterizations,
    compares the fits, and shows what the diagnosis says of each.
    """
    from stanpool.studies.demo import run_demo

    run_demo(
        out,
        seed=seed,
        progress=not quiet,
        write=lambda text: click.echo(f"\n{text}"),
    )
