"""The example of ``stanpool demo``: the radon data in three poolings and two forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stanpool.api.facade import Model
from stanpool.base.files import writing
from stanpool.data.datasets import load_dataset
from stanpool.studies.fit_all import fit_all
from stanpool.studies.parameterizations import Comparison, compare_fits

FORMULA = "log_radon ~ floor + (1 | county)"
FIGURE = "radon_shrinkage.png"


def run_demo(
    folder: Path,
    *,
    seed: int = 1,
    progress: bool = True,
    write: Callable[[str], None],
) -> Comparison:
    """Fit the radon data in three poolings and two parameterizations, and report.

    Parameters
    ----------
    folder
        The folder of the figure, ``radon_shrinkage.png``.
    seed
        The seed of all four fits.
    progress
        Whether to show progress bars.
    write
        Receives the report, one paragraph at a time.

    Returns
    -------
    Comparison
        The comparison of the four fits.
    """
    model = Model(FORMULA, load_dataset("radon"), parameterization="noncentered")
    write(
        f"{model.design.rows} houses in {len(model.design.group_labels)} counties of "
        f"Minnesota: {FORMULA}"
    )
    models = {
        "complete pooling": model.with_(pooling="complete"),
        "no pooling": model.with_(pooling="none"),
        "partial, centered": model.with_(parameterization="centered"),
        "partial, noncentered": model,
    }
    fits = fit_all(models, seed=seed, progress=progress)
    comparison = compare_fits(fits)
    write(str(comparison))
    best = fits["partial, noncentered"]
    write(str(best.diagnose()))
    write(f"Figure: {_save_figure(folder, fits=comparison)}")
    return comparison


def _save_figure(folder: Path, *, fits: Comparison) -> Path:
    """Draw how partial pooling changes the estimates of the counties, and save it."""
    from stanpool.plots import plot_shrinkage

    path = folder / FIGURE
    figure = plot_shrinkage(
        fits.fits["partial, noncentered"],
        fits.fits["no pooling"],
        complete=fits.fits["complete pooling"],
    )
    with writing(path) as file:
        figure.savefig(file, format="png", dpi=150)
    return path
