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


@main.command()
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
@click.option("--quiet", is_flag=True, help="No progress bar.")
def setup(official: bool, wheels: tuple[Path, ...], force: bool, quiet: bool) -> None:
    """Find Stan, or set up an engine for it, once for all projects."""
    from stanpool.engine import upkeep

    home = upkeep.setup(
        official=official, wheels=wheels, force=force, progress=not quiet
    )
    click.echo(f"Stan is ready: {home}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Say what there is of Stan's engine, and what to do if something is wrong."""
    import json
    from dataclasses import asdict

    from stanpool.engine import upkeep

    checkup = upkeep.doctor()
    click.echo(json.dumps(asdict(checkup), indent=2) if as_json else str(checkup))
    context.exit(0 if checkup.ok else ENGINE_TROUBLE)


@main.command()
@click.option("--all", "everything", is_flag=True, help="Remove the engine, too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def clean(everything: bool, yes: bool) -> None:
    """Remove compiled programs and engines that are out of date."""
    from stanpool.engine import cache_folder, upkeep

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
