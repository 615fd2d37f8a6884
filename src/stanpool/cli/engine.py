"""Commands for the Stan engine: setup, doctor and clean."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from stanpool.base.options import EngineName
from stanpool.cli.exits import ENGINE_TROUBLE
from stanpool.cli.options import echo_json, json_option, quiet_option, verbose_option

if TYPE_CHECKING:
    from stanpool.studies.program_check import ProgramCheck


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
  stanpool doctor --programs stanli
  stanpool doctor --json"""
)
@click.option(
    "--programs",
    "engine",
    type=click.Choice(get_args(EngineName)),
    help="Also run one program of each kind through this engine, compare its log "
    "density with an independent implementation, and sample for a moment: seconds "
    "with stanli, minutes of compiling with cmdstan.",
)
@json_option
@click.pass_context
def doctor(context: click.Context, engine: EngineName | None, as_json: bool) -> None:
    """Check the Stan engine.

    Shows which engine is installed, and what to do if something is wrong.
    """
    from dataclasses import asdict

    from stanpool.engine.install import upkeep

    checkup = upkeep.doctor()
    is_well, found = checkup.ok, []
    if not as_json:
        click.echo(str(checkup))
    for each in () if engine is None else _programs(engine):
        if not as_json:
            click.echo(str(each))
        is_well = is_well and each.ok
        found.append(asdict(each))
    if as_json:
        echo_json(asdict(checkup) | ({} if engine is None else {"programs": found}))
    context.exit(0 if is_well else ENGINE_TROUBLE)


def _programs(engine: EngineName) -> Iterator[ProgramCheck]:
    """Run one program of each kind."""
    from stanpool.studies.program_check import check_programs

    return check_programs(engine)


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
