"""The command ``stanpool``.

Exit codes: 0 fine, 2 bad input, 3 trouble with the engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stanpool import __version__
from stanpool.errors import EngineError, StanpoolError

BAD_INPUT, ENGINE_TROUBLE = 2, 3


class _Group(click.Group):
    """Commands whose errors are messages, not tracebacks."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command and turn stanpool's errors into exit codes."""
        try:
            return super().invoke(context)
        except StanpoolError as error:
            click.echo(f"stanpool: {error}", err=True)
            trouble = isinstance(error, EngineError)
            context.exit(ENGINE_TROUBLE if trouble else BAD_INPUT)


@click.group(cls=_Group)
@click.version_option(__version__, prog_name="stanpool")
def main() -> None:
    """Hierarchical models in three pooling templates, on real Stan."""


@main.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder for the figure.  [default: the current one]",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--quiet", is_flag=True, help="No progress bars.")
def demo(out: Path, seed: int, quiet: bool) -> None:
    """Fit the radon data in three poolings and two forms, and report."""
    from stanpool.demo import run_demo

    run_demo(
        out,
        seed=seed,
        progress=not quiet,
        write=lambda text: click.echo(f"\n{text}"),
    )
