"""The example that ``stanpool demo`` runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stanpool.studies.demo import FIGURES, run_demo

SCHOOLS = "ABCDEFGH"
Y = np.array([28, 8, -3, 7, -1, 1, 18, 12.0])
SIGMA = np.array([15, 10, 16, 11, 9, 11, 10, 18.0])
PRIOR_MEAN, PRIOR_SD, PRIOR_RATE = 8.75, 26.1, 0.0958


def _partially_pooled() -> np.ndarray:
    """Return the posterior means of the effects, by a sum over a grid of the scale.

    Given the scale, the mean of the schools has a normal posterior, and so have their
    effects; the prior of the scale is exponential.
    """
    tau = np.linspace(1e-3, 80, 8000)[:, None]
    variance = SIGMA**2 + tau**2  # (tau, school)
    precision = (1 / variance).sum(axis=1) + PRIOR_SD**-2
    mean = ((Y / variance).sum(axis=1) + PRIOR_MEAN / PRIOR_SD**2) / precision
    log_density = -PRIOR_RATE * tau[:, 0] - 0.5 * (
        np.log(variance).sum(axis=1)
        + (Y**2 / variance).sum(axis=1)
        + np.log(precision)
        - precision * mean**2
    )
    weight = np.exp(log_density - log_density.max())
    share = tau**2 / variance
    effects = share * Y + (1 - share) * mean[:, None]
    return weight @ effects / weight.sum()


def test_the_demo_shows_five_fits_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANPOOL_ENGINE", "stanli")
    said: list[str] = []
    comparison = run_demo(tmp_path, seed=1, progress=False, write=said.append)
    text = "\n".join(said)
    lines = text.replace(str(tmp_path), ".").splitlines()
    assert max(map(len, lines)) <= 80

    # Cells are "mean (sd)": of the data, and of the five fits.
    rows = [line for line in lines if line[:1] in SCHOOLS and line[1:6] == " " * 5]
    shown = np.array([[float(cell) for cell in row.split()[1::2]] for row in rows])
    posterior_sd = np.array([[6.7], [5.6], [6.4], [5.8], [5.6], [5.9], [6.0], [6.5]])
    own = 1 / SIGMA**2
    prior = PRIOR_SD**-2
    complete = (own @ Y + prior * PRIOR_MEAN) / (own.sum() + prior)
    none = (own * Y + prior * PRIOR_MEAN) / (own + prior)
    assert (shown[:, 0] == Y).all()
    assert shown[:, 1] == pytest.approx(complete, abs=0.3)
    assert (abs(shown[:, 2] - none) < 0.5 + SIGMA * 4 / np.sqrt(2000)).all()
    # Rounded to a tenth; from at least 900 effective draws.
    error = 0.05 + 4 * posterior_sd / np.sqrt(900)
    assert (abs(shown[:, 4:] - _partially_pooled()[:, None]) < error).all()

    table = comparison.table
    assert table.loc["centered", "divergences"] > 20
    assert (table.loc[["noncentered", "marginal"], "divergences"] < 5).all()
    (row,) = (line.split() for line in lines if line.startswith("divergences "))
    assert row[1:] == [str(count) for count in table["divergences"]]
    centered, noncentered = text.split("SAMPLING.")[1].split("\n\n")[1:3]
    assert "This is the neck of a funnel" in " ".join(centered.split())
    assert noncentered.startswith("Partial pooling over school, noncentered: no prob")
    for name in FIGURES:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
