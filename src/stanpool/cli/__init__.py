"""The command ``stanpool``: its commands, a file for each group of them."""

from __future__ import annotations

import click

from stanpool import __version__
from stanpool.cli.benchmark import bench
from stanpool.cli.engine import clean, doctor, setup
from stanpool.cli.exits import OrderlyGroup
from stanpool.cli.fits import (
    compare,
    comparisons,
    predict,
    predictions,
    report,
    slopes,
)
from stanpool.cli.models import code, compare_pooling, fit
from stanpool.cli.shipped import datasets, demo


@click.group(
    cls=OrderlyGroup,
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


for _command in (fit, code, compare_pooling):
    main.add_command(_command)
for _command in (compare, predict, predictions, comparisons, slopes, report):
    main.add_command(_command)
for _command in (datasets, demo, setup, doctor, clean, bench):
    main.add_command(_command)
