"""Options that several commands have."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import click

from stanpool.base.errors import PathTakenError
from stanpool.base.options import EngineChoice, Method, Pooling
from stanpool.base.progress import verbose_logging

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

PATH = click.Path(path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
FIT = click.Path(exists=True, file_okay=False, path_type=Path)
DATA = click.Path(path_type=Path, allow_dash=True)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON."
)
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Show no progress bars."
)
verbose_option = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    # The root's context is closed in any case, that of a command not if another of its
    # options is wrong.
    callback=lambda context, _, wanted: context.find_root().with_resource(
        verbose_logging(wanted)
    ),
    help="Report how each stage went, and show Stan's messages.",
)
pooling_option = click.option(
    "--pooling",
    type=click.Choice(get_args(Pooling)),
    help="How much the groups have in common: all (complete), nothing (none), or a "
    "distribution of their coefficients (partial).  [default: partial; complete if the "
    "formula has no groups]",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0),
    help="Seed of the random numbers, for results that can be reproduced.  "
    "[default: random]",
)


def all_of(options: Sequence[Decorator]) -> Decorator:
    """Return a decorator that adds options, the first of which is shown first."""

    def add_options(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add_options


sampler_options = all_of(
    (
        click.option(
            "--chains",
            type=click.IntRange(1),
            default=4,
            show_default=True,
            help="Number of chains.",
        ),
        click.option(
            "--draws",
            type=click.IntRange(1),
            default=1000,
            show_default=True,
            help="Draws of each chain, after warm-up.",
        ),
        click.option(
            "--warmup",
            type=click.IntRange(0),
            help="Warm-up iterations of each chain; by default 500 in the marginal "
            "form, else 1000.",
        ),
        seed_option,
        click.option(
            "--adapt-delta",
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            help="Target acceptance rate; by default 0.8, or 0.9 with few groups.",
        ),
        click.option(
            "--max-treedepth",
            type=click.IntRange(1),
            default=10,
            show_default=True,
            help="Limit of the number of doublings of a trajectory.",
        ),
        click.option(
            "--engine",
            type=click.Choice(get_args(EngineChoice)),
            default="auto",
            show_default=True,
            help="What runs the Stan program: cmdstan compiles it first, stanli begins "
            "at once, and auto is the one that is expected to finish first.",
        ),
    )
)

method_options = all_of(
    (
        click.option(
            "--method",
            type=click.Choice(get_args(Method)),
            default="nuts",
            show_default=True,
            help="How to draw: with NUTS; or, in a small part of the time, from an "
            "approximation (pathfinder, laplace, or optimize for the posterior mode), "
            "whose Pareto k-hat says whether it can be trusted.",
        ),
        click.option(
            "--output-dir",
            type=FOLDER,
            help="Keep CmdStan's own CSV files in this folder; needs --engine cmdstan.",
        ),
    )
)


def echo_json(content: Any) -> None:
    """Print tables and values as JSON, with escapes for letters that a pipe lacks."""
    from stanpool.base.table_files import as_json

    text = as_json(content)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = as_json(content, escaped=True)
    click.echo(text)


def try_places(out: Path | None, file: Path | None, *, overwrite: bool = False) -> None:
    """Find out before a long task whether its results can be written.

    They are a fit, saved in a folder ``out``, and a file.
    """
    if out is not None:
        from stanpool.sampling.saving.storage import try_saving

        try:
            try_saving(out, overwrite=overwrite)
        except PathTakenError as problem:
            options = "--overwrite replaces the fit, --reuse takes it if it is the same"
            text = str(problem).replace("or pass overwrite=True", options)
            raise PathTakenError(text) from None
    if file is not None:
        from stanpool.base.system.files import try_writing

        try_writing(file)
