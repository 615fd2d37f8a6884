"""What CmdStan's ``stansummary`` and ``diagnose`` do, for a home that has neither.

cmdstanpy runs these two programs of a CmdStan home for the ``summary()`` and
``diagnose()`` of a fit. In the home that stanpool sets up, they are scripts that run
this module (see ``engine.cmdstan.csv_programs``). Statistics are those of Stan 2.36 and
later: Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021). The Monte Carlo error of
the mean differs a little: it is that of split chains, as in ``Fit.summary`` and in R's
package posterior, while CmdStan does not split chains for it.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stanpool.base.errors import DataError, quote, quote_list
from stanpool.cli.exits import OrderlyGroup

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SETTING = re.compile(r"#\s*(\w+) = (\S+)")
# The median absolute deviation of normal values, times this, is their sd.
_MAD = 1.4826
_E_BFMI, _R_HAT, _ESS_PER_CHAIN = 0.3, 1.01, 100
_FILES = click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)


@dataclass(frozen=True, eq=False)
class Chains:
    """The draws of some chains.

    Attributes
    ----------
    names
        The columns, as in Stan programs: ``theta[1,2]``.
    draws
        Shape ``(chain, draw, column)``, after warm-up.
    settings
        The settings of the first chain, as they stand in its file.
    """

    names: tuple[str, ...]
    draws: NDArray[np.float64]
    settings: dict[str, str]

    def column(self, name: str) -> NDArray[np.float64] | None:
        """Return the draws of a column, ``(chain, draw)``, if there is one."""
        if name not in self.names:
            return None
        found: NDArray[np.float64] = self.draws[:, :, self.names.index(name)]
        return found


def read_chains(files: Sequence[Path]) -> Chains:
    """Read CSV files of CmdStan, one for each chain.

    Raises
    ------
    DataError
        If a file has no draws, or other columns or another number of draws than the
        first.
    """
    import numpy as np

    first, *others = (_read(file) for file in files)
    for file, (frame, _) in zip(files[1:], others, strict=True):
        if list(frame.columns) != list(first[0].columns):
            raise DataError(f"{quote(str(file))} has other columns than the first file")
        if len(frame) != len(first[0]):
            raise DataError(
                f"{quote(str(file))} has {len(frame)} draws, and the first file "
                f"{len(first[0])}; a chain did not finish."
            )
    draws = np.stack([frame.to_numpy(float) for frame, _ in (first, *others)])
    return Chains(tuple(map(_in_brackets, first[0].columns)), draws, first[1])


def _read(file: Path) -> tuple[Any, dict[str, str]]:
    """Return the draws after warm-up, as a data frame, and the settings of a chain."""
    import pandas as pd

    with file.open(encoding="utf-8") as lines:
        found = filter(None, map(_SETTING.match, lines))
        settings = {each[1]: each[2] for each in found}
    try:
        frame = pd.read_csv(file, comment="#")
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    if settings.get("save_warmup") in ("1", "true"):
        warmup, thin = int(settings["num_warmup"]), int(settings["thin"])
        frame = frame.iloc[math.ceil(warmup / thin) :]
    if frame.empty:
        raise DataError(f"{quote(str(file))} has no draws")
    return frame, settings


def _in_brackets(column: str) -> str:
    """Write the name of a column as Stan programs do.

    Examples
    --------
    >>> _in_brackets("theta.1.2"), _in_brackets("pair:1.2"), _in_brackets("lp__")
    ('theta[1,2]', 'pair.1[2]', 'lp__')
    """
    name, _, indices = column.partition(".")
    name = name.replace(":", ".")
    return f"{name}[{indices.replace('.', ',')}]" if indices else name


def statistics(
    draws: NDArray[np.float64], percentiles: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    """Compute the columns of stansummary.

    Parameters
    ----------
    draws
        Shape ``(chain, draw, column)``.
    percentiles
        Whole numbers between 1 and 99.

    Returns
    -------
    dict
        Arrays of shape ``(column,)``. The Monte Carlo error, effective sample sizes and
        R-hat of a constant are NaN, as in CmdStan.
    """
    import numpy as np

    from stanpool.posterior.convergence import mixing

    flat = draws.reshape(-1, draws.shape[2])
    varies = np.isfinite(flat).all(axis=0) & (np.ptp(flat, axis=0) > 0)
    mixed = {
        name: np.where(varies, each, np.nan) for name, each in mixing(draws).items()
    }
    with np.errstate(invalid="ignore"):  # infinite draws
        center = np.median(flat, axis=0)
        quantiles = np.quantile(flat, np.array(percentiles) / 100, axis=0)
        return {
            "Mean": flat.mean(axis=0),
            "MCSE": mixed["mcse_mean"],
            "StdDev": flat.std(axis=0, ddof=1),
            "MAD": _MAD * np.median(abs(flat - center), axis=0),
            **{f"{p}%": each for p, each in zip(percentiles, quantiles, strict=True)},
            "ESS_bulk": mixed["ess_bulk"],
            "ESS_tail": mixed["ess_tail"],
            "R_hat": mixed["r_hat"],
        }


@click.group(cls=OrderlyGroup)
def main() -> None:
    """Summarize or check the CSV files of CmdStan's sampler."""


def _percentiles(_: click.Context, __: click.Parameter, value: str) -> tuple[int, ...]:
    words = re.split(r"[,\s]+", value.strip())
    numbers = [int(word) if word.isdecimal() else 0 for word in words]
    if numbers != sorted(set(numbers)) or not all(0 < each < 100 for each in numbers):
        raise click.BadParameter(
            f"{quote(value)} must be increasing whole numbers between 1 and 99, as in "
            "5,50,95."
        )
    return tuple(numbers)


@main.command()
@_FILES
@click.option(
    "--percentiles", "-p", default="5,50,95", show_default=True, callback=_percentiles
)
@click.option("--sig_figs", "-s", type=click.IntRange(1, 18), help="Digits shown.")
@click.option(
    "--csv_filename",
    "-c",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the statistics to a CSV file, too.",
)
@click.option("--include_param", "-i", multiple=True, help="Show only these.")
def stansummary(
    files: tuple[Path, ...],
    percentiles: tuple[int, ...],
    sig_figs: int | None,
    csv_filename: Path | None,
    include_param: tuple[str, ...],
) -> None:
    """Show the mean, errors, quantiles and convergence of every quantity."""
    chains = read_chains(files)
    columns = statistics(chains.draws, percentiles)
    shown = list(range(len(chains.names)))
    if include_param:
        wanted = set(map(_in_brackets, include_param))
        if unknown := sorted(wanted - set(chains.names)):
            raise DataError(f"the files do not contain {quote_list(unknown)}")
        shown = [place for place in shown if chains.names[place] in wanted]
    if csv_filename is not None:
        rows = _cells(columns, shown, sig_figs or 6)
        lines = [",".join(["name", *(f'"{name}"' for name in columns)])]
        lines += [
            ",".join([f'"{chains.names[place]}"', *row])
            for place, row in zip(shown, rows, strict=True)
        ]
        csv_filename.write_text("\n".join(lines) + "\n", encoding="utf-8")
    count, draws = chains.draws.shape[:2]
    click.echo(f"{count} chains of {draws:,} draws each\n")
    head = max(len(chains.names[place]) for place in shown)
    click.echo(" " * head + "".join(f"{name:>12}" for name in columns))
    for place, row in zip(shown, _cells(columns, shown, sig_figs or 2), strict=True):
        click.echo(f"{chains.names[place]:{head}}" + "".join(f"{x:>12}" for x in row))


def _cells(
    columns: dict[str, NDArray[np.float64]], shown: Sequence[int], digits: int
) -> Iterator[list[str]]:
    for place in shown:
        yield [f"{values[place]:.{digits}g}" for values in columns.values()]


@main.command()
@_FILES
def diagnose(files: tuple[Path, ...]) -> None:
    """Check tree depth, divergences, E-BFMI, effective sample sizes and R-hat."""
    chains = read_chains(files)
    paragraphs = [
        *_about_transitions(chains),
        *_about_energy(chains),
        *_about_convergence(chains),
    ]
    is_fine = all(fine for fine, _ in paragraphs)
    for _, text in paragraphs:
        click.echo(f"{textwrap.fill(text, 80)}\n")
    click.echo(
        "Processing complete, no problems detected."
        if is_fine
        else "Processing complete, problems were detected."
    )


def _about_transitions(chains: Chains) -> Iterator[tuple[bool, str]]:
    """Count transitions that were cut off or diverged: is it fine, and in words."""
    total = math.prod(chains.draws.shape[:2])
    depth, diverging = chains.column("treedepth__"), chains.column("divergent__")
    limit = int(chains.settings.get("max_depth", 10))
    if depth is not None:
        cut = int((depth >= limit).sum())
        yield (
            not cut,
            f"Treedepth: {cut:,} of {total:,} transitions ({cut / total:.2%}) reached "
            f"the limit of {limit}, {2**limit - 1:,} leapfrog steps. Such draws are "
            "right, but they move slowly; raise max_treedepth, or look for a "
            "parameterization in which the posterior is less stretched."
            if cut
            else f"Treedepth satisfactory: no transition reached the limit of {limit}.",
        )
    if diverging is not None:
        count = int(diverging.sum())
        yield (
            not count,
            f"Divergences: {count:,} of {total:,} transitions ({count / total:.2%}) "
            "diverged. The sampler could not follow the posterior there, so that "
            "estimates may be biased. Raise adapt_delta towards 1; if divergences "
            "remain, change the parameterization."
            if count
            else "Divergences: there are no divergent transitions.",
        )


def _about_energy(chains: Chains) -> Iterator[tuple[bool, str]]:
    """Judge the E-BFMI of each chain."""
    import numpy as np

    energy = chains.column("energy__")
    if energy is None:
        return
    spread = np.square(energy - energy.mean(axis=1, keepdims=True)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        e_bfmi = np.square(np.diff(energy, axis=1)).sum(axis=1) / spread
    low = [f"chain {1 + k}: {e_bfmi[k]:.2f}" for k in np.flatnonzero(e_bfmi < _E_BFMI)]
    yield (
        not low,
        f"E-BFMI is below {_E_BFMI} in {', '.join(low)}: chains move slowly between "
        "levels of energy, as in heavy tails or a funnel; change the parameterization."
        if low
        else f"E-BFMI satisfactory: at least {e_bfmi.min():.2f} (limit {_E_BFMI}).",
    )


def _about_convergence(chains: Chains) -> Iterator[tuple[bool, str]]:
    """Judge effective sample sizes and R-hat of all parameters."""
    import numpy as np

    places = [k for k, name in enumerate(chains.names) if not name.endswith("__")]
    if not places:
        return
    found = statistics(chains.draws[:, :, places], (50,))
    names = np.array(chains.names)[places]
    least = _ESS_PER_CHAIN * len(chains.draws)
    ess = np.fmin(found["ESS_bulk"], found["ESS_tail"])
    few, apart = names[ess < least], names[found["R_hat"] > _R_HAT]
    yield (
        not few.size,
        f"Effective sample size: that of the bulk or the tail is below {least}, "
        f"{_ESS_PER_CHAIN} per chain, for {', '.join(few)}. Means, intervals and R-hat "
        "of these are noisy; run longer chains."
        if few.size
        else "Effective sample size satisfactory: bulk and tail have at least "
        f"{least}, {_ESS_PER_CHAIN} per chain, for all parameters.",
    )
    yield (
        not apart.size,
        f"R-hat (rank-normalized, split) is above {_R_HAT} for {', '.join(apart)}. The "
        "chains do not agree yet; run longer chains, or change the parameterization."
        if apart.size
        else f"R-hat satisfactory: at most {_R_HAT} for all parameters "
        "(rank-normalized, split).",
    )


if __name__ == "__main__":
    main()
