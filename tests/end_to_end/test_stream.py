"""Fits of data that were read in chunks, from the file to the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import stanpool as sp
from stanpool.base.errors import DataError
from stanpool.cli import main

FORMULA = "log_radon ~ floor + (1 + floor || county)"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "radon.csv"
    sp.load_dataset("radon").to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def fit(path: Path) -> sp.Fit:
    return sp.Model(FORMULA, path).fit(seed=1, draws=500, progress=False)


def test_posterior_is_that_of_the_data_in_memory(fit: sp.Fit) -> None:
    whole = sp.Model(FORMULA, sp.load_dataset("radon")).fit(
        seed=2, draws=500, progress=False
    )
    ours, theirs = fit.summary(), whole.summary()
    assert list(ours.index) == list(theirs.index)
    error = np.hypot(ours["mcse_mean"], theirs["mcse_mean"])
    assert (np.abs(ours["mean"] - theirs["mean"]) < 5 * error + 1e-12).all()


def test_kept_fits_come_back_and_are_updated(
    fit: sp.Fit, path: Path, tmp_path: Path
) -> None:
    fit.save(tmp_path / "radon.fit")
    kept = sp.load(tmp_path / "radon.fit")
    assert kept.model.explain().splitlines()[2:] == fit.model.explain().splitlines()[2:]
    assert kept.model.program == fit.model.program
    again = kept.model.stan_data()
    for name, values in fit.model.stan_data().items():
        np.testing.assert_array_equal(values, again[name], err_msg=name)
    rows = sp.load_dataset("radon").iloc[:5]
    np.testing.assert_array_equal(fit.epred(rows), kept.epred(rows))
    changed = kept.update(priors={"beta": "normal(0, 0.01)"}, seed=3, progress=False)
    assert abs(float(changed.posterior["beta"].mean())) < 0.1
    assert changed.model.design.rows == 919
    # The same model of the same file is not fitted again; another file is another.
    folder = tmp_path / "reused"
    small = {"chains": 1, "draws": 50, "warmup": 50, "seed": 1, "progress": False}
    first = fit.model.fit(file=folder, **small)
    same = sp.Model(FORMULA, path).fit(file=folder, **small)
    assert same.seconds == first.seconds
    other = sp.Model(FORMULA, iter([sp.load_dataset("radon").iloc[10:]]))
    assert other.fit(file=folder, **small).seconds != first.seconds


@pytest.mark.usefixtures("blank_figures")
def test_what_needs_rows_asks_for_them(fit: sp.Fit, tmp_path: Path) -> None:
    for use in (
        fit.loo,
        fit.kfold,
        fit.predict,
        fit.epred,
        fit.log_lik,
        fit.bayes_R2,
        fit.prior_sensitivity,
        fit.icc,
        fit.pooling_factors,
        lambda: sp.plots.plot_predictive(fit),
        lambda: sp.plots.plot_lines(fit),
    ):
        with pytest.raises(DataError, match="not kept"):
            use()
    # All that does not need them is there.
    assert fit.diagnose().ok
    assert len(fit.coef()) == 170
    fit.report(tmp_path / "report.html")
    assert "919, all rows of the data" in (tmp_path / "report.html").read_text("utf-8")


def test_cells_from_a_file_are_fitted(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    n = 20_000
    frame = pd.DataFrame(rng.integers(0, 2, (n, 2)), columns=["a", "b"])
    frame["g"] = rng.integers(0, 10, n)
    frame["y"] = rng.random(n) < 1 / (1 + np.exp(0.5 - frame["a"]))
    frame.to_parquet(tmp_path / "data.parquet")
    model = sp.Model(
        "y ~ a + b + (1 | g)", tmp_path / "data.parquet", family="bernoulli"
    )
    assert model.rows is not None
    assert model.rows.kept == 40
    fit = model.fit(seed=1, chains=2, draws=500, progress=False)
    assert float(fit.posterior["beta"].sel(coefficient="a").mean()) == pytest.approx(
        1.0, abs=0.15
    )


def test_the_command_line_reads_in_chunks(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "radon.fit"
    done = CliRunner().invoke(
        main,
        [
            *("fit", str(path), "--chunked", "--formula", FORMULA, "--seed", "1"),
            *("--chains", "1", "--draws", "100", "--quiet", "--out", str(out)),
        ],
    )
    assert done.exit_code == 0, done.output
    assert "read in chunks" in sp.load(out).model.explain()
