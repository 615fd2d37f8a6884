"""Commands for the Stan engine: setup, doctor and clean."""

from __future__ import annotations

from pathlib import Path

import click

from stanpool.cli.exits import ENGINE_TROUBLE
from stanpool.cli.options import echo_json, json_option, quiet_option, verbose_option


@click.command(
    epilog="""\b
Examples:
  stanpool setup
  stanpool setup --official
  stanpool setup --wheel httpstan-4.17.0-cp312-cp312-manylinux2014_x86_64.whl"""
)
@click.option("--official", is_flag=True, help="Install CmdStan through cmdstanpy.")
@click.option(
    "--wheel",
    "wheels",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A wheel of httpstan (or ziglang) to use where no package index can be "
    "reached; may be given twice.",
)
@click.option("--force", is_flag=True, help="Build the engine again.")
@verbose_option
@quiet_option
def setup(official: bool, wheels: tuple[Path, ...], force: bool, quiet: bool) -> None:
    """Find or install a Stan engine.

    It is installed once, and used by all projects.
    """
    from stanpool.engine.install import upkeep

    home = upkeep.setup(
        official=official, wheels=wheels, force=force, progress=not quiet
    )
    click.echo(f"Stan is ready: {home}")


@click.command(
    epilog="""\b
Examples:
  stanpool doctor
  stanpool doctor --json"""
)
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check the Stan engine.

    Shows which engine is installed, and what to do if something is wrong.
    """
    from dataclasses import asdict

    from stanpool.engine.install import upkeep

    checkup = upkeep.doctor()
    if as_json:
        echo_json(asdict(checkup))
    else:
        click.echo(str(checkup))
    context.exit(0 if checkup.ok else ENGINE_TROUBLE)


@click.command(
    epilog="""\b
Examples:
  stanpool clean
  stanpool clean --all --yes"""
)
@click.option("--all", "everything", is_flag=True, help="Remove the engine as well.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def clean(everything: bool, yes: bool) -> None:
    """Remove outdated programs and engines."""
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
