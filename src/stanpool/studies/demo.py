"""The example of ``stanpool demo``: the eight schools in three poolings and forms."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stanpool.api.facade import Fit, Model
from stanpool.base.options import Parameterization, Pooling
from stanpool.base.system.files import writing
from stanpool.data.datasets import load_dataset
from stanpool.inference.estimates.summary import summary
from stanpool.studies.many.fit_all import fit_all
from stanpool.studies.parameterizations import Comparison, compare_fits, mean_sd

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FORMULA = "y | se(sigma) ~ 1 + (1 | school)"
FIGURES = ("schools_shrinkage.png", "schools_funnel.png")

_WIDTH = 80
_POOLINGS: tuple[Pooling, ...] = ("complete", "none")
_FORMS: tuple[Parameterization, ...] = ("centered", "noncentered", "marginal")
_POPULATION = {
    "Intercept": "mean of schools",
    "tau_school[Intercept]": "sd of schools",
}
_SAMPLING = {
    "seconds": ("seconds", "{:.2f}"),
    "divergences": ("divergences", "{:,.0f}"),
    "max_r_hat": ("largest R-hat", "{:.3f}"),
    "min_ess_bulk": ("smallest ESS", "{:,.0f}"),
    "ess_per_second": ("ESS per second", "{:,.0f}"),
}


def run_demo(
    folder: Path,
    *,
    seed: int = 1,
    progress: bool = True,
    write: Callable[[str], None],
) -> Comparison:
    """Fit the eight schools in three poolings and three parameterizations, and report.

    Parameters
    ----------
    folder
        The folder of the figures.
    seed
        The seed of all five fits.
    progress
        Whether to show progress bars.
    write
        Receives the report, one paragraph at a time.

    Returns
    -------
    Comparison
        The comparison of the five fits.
    """
    data = load_dataset("eight_schools")
    model = Model(FORMULA, data)
    write(_INTRODUCTION)
    models: dict[str, Model] = {name: model.with_(pooling=name) for name in _POOLINGS}
    models |= {form: model.with_(parameterization=form) for form in _FORMS}
    fits = fit_all(models, seed=seed, progress=progress)
    comparison = compare_fits(fits)
    means = {name: _means(fit) for name, fit in fits.items()}
    write(_table(comparison, means, data))
    write(_on_pooling(means))
    write(_on_forms(fits))
    write(_fill(f"WHICH TO TAKE. {comparison.advice}"))
    names = "\n".join(f"  {path}" for path in _save_figures(folder, fits))
    write(f"FIGURES\n{names}\n\n{_NEXT}")
    return comparison


_INTRODUCTION = f"""\
EIGHT SCHOOLS
Eight schools coached pupils for a test (Rubin 1981). Each reports the effect in
points, y, and its standard error, sigma. None is certain by itself: how much
should a school learn from the seven others?

  stanpool.Model("{FORMULA}", data)

Posterior mean (sd) of the effects, by 4 chains of 1,000 draws, for three
poolings. Partial pooling, which estimates how much schools differ, is sampled
in three parameterizations of the same posterior:"""

_NEXT = """\
YOUR DATA
  stanpool fit data.csv --formula 'y ~ x + (1 + x | group)' --out my.fit
  stanpool report my.fit"""


def _table(
    comparison: Comparison, means: Mapping[str, Mapping[str, str]], data: pd.DataFrame
) -> str:
    """Write a row per quantity and a column per fit, 80 characters wide."""
    rows = [
        ["", "complete", "none", *("partial" for _ in _FORMS)],
        ["school y (sigma)", "pooling", "pooling", *_FORMS],
    ]
    for school, y, sigma in data[["school", "y", "sigma"]].itertuples(index=False):
        # With complete pooling, all schools have the mean.
        cells = [
            each.get(_label(school), each.get("Intercept")) for each in means.values()
        ]
        rows.append([f"{school:6} {y:3} ({sigma})", *map(str, cells)])
    for label, shown in _POPULATION.items():
        rows.append([shown, *(each.get(label, "") for each in means.values())])
    rows.append([""])
    for column, (shown, form) in _SAMPLING.items():
        rows.append([shown, *map(form.format, comparison.table[column])])
    return "\n".join(
        "".join([f"{head:16}", *(f"{cell:>12} " for cell in cells)]).rstrip()
        for head, *cells in rows
    )


def _means(fit: Fit) -> dict[str, str]:
    """Return the posterior mean (sd) of each quantity."""
    rows = summary(fit)[["mean", "sd"]]
    return {
        str(label): mean_sd(*row)
        for label, row in zip(rows.index, rows.to_numpy(), strict=True)
    }


def _label(school: str) -> str:
    return f"b_school[{school}, Intercept]"


def _on_pooling(means: Mapping[str, Mapping[str, str]]) -> str:
    """Say what pooling does to the estimate of school A, whose own is the largest."""
    return _fill(
        "POOLING. Complete pooling estimates the effect of school A, and of every "
        f"other school, as {means['complete']['Intercept']}: it leaves no room for "
        f"differences. No pooling estimates {means['none'][_label('A')]}: it "
        "leaves each school alone with its noise. Partial pooling estimates "
        f"{means['marginal'][_label('A')]}: it moves each school towards the mean, and "
        "the further the less its own data say."
    )


def _on_forms(fits: Mapping[str, Fit]) -> str:
    """Write what the diagnosis finds in each parameterization, and its advice."""
    lines = ["SAMPLING. What fit.diagnose() says of each parameterization:"]
    for form in _FORMS:
        found = fits[form].diagnose()
        lines.append(f"\n{found.verdict}")
        for each in found.findings:
            lines.append(_item(each.level, each.sentence))
        for advice in found.advice:
            lines.append(_item("advice", f"{advice.action}: {advice.reason}"))
    return "\n".join(lines)


def _fill(text: str) -> str:
    return textwrap.fill(text, _WIDTH)


def _item(head: str, text: str) -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent=f"  {head:9}", subsequent_indent=" " * 11
    )


def _save_figures(folder: Path, fits: Mapping[str, Fit]) -> list[str]:
    """Draw how pooling changes estimates, and the funnel; return the files' paths."""
    from stanpool.plots import plot_funnel, plot_shrinkage

    figures: tuple[Figure, ...] = (
        plot_shrinkage(fits["marginal"], fits["none"], complete=fits["complete"]),
        plot_funnel({form: fits[form] for form in _FORMS}),
    )
    paths = [folder / name for name in FIGURES]
    for path, figure in zip(paths, figures, strict=True):
        with writing(path) as file:
            figure.savefig(file, format="png", dpi=150)
    return [str(path) for path in paths]
