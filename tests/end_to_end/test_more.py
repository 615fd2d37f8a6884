"""Chains that go on, their warm-up, their files, and the program for CmdStan."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import stanpool as sp
from stanpool.base.errors import SpecError
from stanpool.engine.install.cache import publish
from stanpool.engine.interpreter.options import arguments_of
from stanpool.engine.values.settings import SampleSettings

RADON = "log_radon ~ floor + (1 | county)"
HOW = {"seed": 1, "progress": False, "draws": 500}
TABLE = ["mean", "sd", "mcse_mean"]


@pytest.fixture(scope="module")
def radon() -> sp.Model:
    return sp.Model(RADON, sp.load_dataset("radon"), parameterization="marginal")


@pytest.fixture(scope="module")
def fit(radon: sp.Model) -> sp.Fit:
    return radon.fit(engine="stanli", save_warmup=True, **HOW)


@pytest.fixture(scope="module")
def continued(fit: sp.Fit) -> sp.Fit:
    return fit.more(1500, progress=False)


def test_more_draws_are_as_those_of_one_long_run(
    radon: sp.Model, continued: sp.Fit
) -> None:
    assert continued.settings.draws == 2000
    assert continued.posterior.sizes["draw"] == 2000
    np.testing.assert_array_equal(continued.posterior["draw"], np.arange(2000))
    long = radon.fit(engine="stanli", seed=2, draws=2000, progress=False).summary()
    found = continued.summary()
    error = np.hypot(found["mcse_mean"], long["mcse_mean"])
    assert (abs(found["mean"] - long["mean"]) < 5 * error).all()
    # Each half as one chain of its own: R-hat compares what was there with what came.
    halves = found["r_hat"]
    assert halves.max() < 1.01
    assert (abs(np.log(found["sd"] / long["sd"])) < 0.15).all()


def test_the_draws_before_stay_and_none_is_repeated(
    fit: sp.Fit, continued: sp.Fit
) -> None:
    first = continued.posterior.isel(draw=slice(0, 500))
    for name in fit.posterior.data_vars:
        np.testing.assert_array_equal(first[name], fit.posterior[name])
    new = continued.posterior["sigma"].to_numpy()[:, 500:]
    old = fit.posterior["sigma"].to_numpy()
    assert not np.isin(new, old[:, :-1]).any()
    # The groups' coefficients are drawn with new random numbers, too.
    z = _standardized(continued)
    assert abs(np.corrcoef(z[:, :500].ravel(), z[:, 500:1000].ravel())[0, 1]) < 0.1


def _standardized(fit: sp.Fit) -> np.ndarray:
    b = fit.posterior["b_county"].isel(county=0, county_coefficient=0).to_numpy()
    tau = fit.posterior["tau_county"].isel(county_coefficient=0).to_numpy()
    return (b - fit.posterior["Intercept"].to_numpy()) / tau


def test_chains_go_on_with_their_own_steps_and_metric(
    fit: sp.Fit, continued: sp.Fit
) -> None:
    before, after = (x.tree["sampler_state"].to_dataset() for x in (fit, continued))
    for name in ("step_size", "inv_metric"):
        np.testing.assert_array_equal(before[name], after[name])
    steps = continued.sample_stats["step_size"].to_numpy()
    assert (np.ptp(steps, axis=1) == 0).all()
    assert len(np.unique(steps[:, -1])) == 4
    # With its own step size, a chain accepts as often as it did.
    rate = continued.sample_stats["acceptance_rate"].to_numpy()
    np.testing.assert_allclose(
        rate[:, :500].mean(axis=1), rate[:, 500:].mean(axis=1), atol=0.03
    )


def test_a_saved_fit_goes_on_as_the_one_in_memory(
    fit: sp.Fit, continued: sp.Fit, tmp_path: Path
) -> None:
    fit.save(tmp_path / "x.fit")
    again = sp.load(tmp_path / "x.fit").more(1500, progress=False)
    assert again.summary().equals(continued.summary())
    once_more = again.more(10, progress=False)
    assert once_more.settings.draws == 2010
    assert again.settings.seed == once_more.settings.seed == 1


def test_the_same_seed_gives_the_same_draws_and_another_others(fit: sp.Fit) -> None:
    first, same, other = (
        fit.more(20, seed=seed, progress=False).posterior["sigma"] for seed in (3, 3, 4)
    )
    assert first.equals(same)
    assert not (first[:, 500:] == other[:, 500:]).any()


def test_fits_that_cannot_go_on_say_why(radon: sp.Model, fit: sp.Fit) -> None:
    approximate = radon.fit(method="laplace", engine="stanli", seed=1, progress=False)
    with pytest.raises(SpecError, match="independent draws of a laplace approx"):
        approximate.more(10)
    kept = sp.load(Path(__file__).parents[1] / "data" / "kept_fits" / "format_2.fit")
    with pytest.raises(SpecError, match="did not keep what the chains adapted"):
        kept.more(10)


def test_stanli_moves_chains_by_metrics_where_their_steps_differ() -> None:
    metric = [{"inv_metric": [1.0, 4.0]}, {"inv_metric": [1.0, 9.0]}]
    options = {"step_size": [0.1, 0.4], "inv_metric": metric}
    settings = SampleSettings(
        seed=1, chains=2, warmup=0, sample_options=tuple(options.items())
    )
    found = arguments_of(settings)["settings"]
    assert found["step_size"] == pytest.approx(0.2)
    # step^2 times the inverse metric is what a chain's moves depend on.
    np.testing.assert_allclose(
        np.square(found["step_size"]) * np.array(found["inv_metric"]),
        [[0.01, 0.04], [0.16, 1.44]],
    )


def test_chains_of_the_unit_metric_go_on_with_their_own_steps() -> None:
    formula, data = "y | se(sigma) ~ 1 + (1 | school)", sp.load_dataset("eight_schools")
    options = {"metric": "unit_e"}
    model = sp.Model(formula, data)
    fit = model.fit(engine="stanli", sample_options=options, **HOW)
    twice = fit.more(500, progress=False).more(500, progress=False)
    assert twice.posterior.sizes["draw"] == 1500
    before, after = (x.tree["sampler_state"].to_dataset() for x in (fit, twice))
    assert before.data_vars.keys() == after.data_vars.keys()
    assert "inv_metric" not in after
    np.testing.assert_array_equal(before["step_size"], after["step_size"])
    assert len(np.unique(after["step_size"])) == 4
    rate = twice.sample_stats["acceptance_rate"].to_numpy().reshape(4, 3, 500)
    np.testing.assert_allclose(np.ptp(rate.mean(axis=2), axis=1), 0, atol=0.06)


def test_the_warm_up_is_kept_on_request(fit: sp.Fit, radon: sp.Model) -> None:
    warm = fit.tree["warmup_posterior"].to_dataset()
    assert warm.sizes["draw"] == fit.settings.warmup
    assert set(warm.data_vars) == set(fit.posterior.data_vars)
    steps = fit.tree["warmup_sample_stats"]["step_size"].to_numpy()
    assert np.ptp(steps) > 0.1  # it was being adapted
    plain = radon.fit(engine="stanli", **HOW)
    assert "warmup_posterior" not in plain.tree.children
    assert plain.posterior["sigma"].equals(fit.posterior["sigma"])
    assert "warmup_posterior" in set(fit.to_arviz().groups()) | {
        name.strip("/") for name in fit.to_arviz().groups()
    }


@pytest.mark.compiled
def test_cmdstan_keeps_the_warm_up_and_its_files_and_goes_on(
    radon: sp.Model, tmp_path: Path
) -> None:
    files = tmp_path / "csv"
    fit = radon.fit(engine="cmdstan", save_warmup=True, output_dir=files, **HOW)
    assert len(list(files.glob("*.csv"))) == 4
    assert fit.tree["warmup_posterior"].sizes["draw"] == fit.settings.warmup
    assert fit.posterior.sizes["draw"] == 500
    more = fit.more(500, progress=False)
    assert more.summary()["r_hat"].max() < 1.02
    assert len(np.unique(more.sample_stats["step_size"])) == 4


def test_unknown_names_of_initial_values_are_refused(
    radon: sp.Model, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=r"value for 'sgima'.* mean 'sigma'"):
        radon.fit(inits={"sgima": 1.0})
    with pytest.raises(SpecError, match="value for 'Intercept'"):
        radon.fit(chains=2, inits=[{"sigma": 1.0}, {"Intercept": 1.0}])
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"tau_county": 1.0}))
    with pytest.raises(SpecError, match="value for 'tau_county'"):
        radon.fit(inits=str(file))
    found = radon.fit(
        engine="stanli", inits={"sigma": 0.7}, draws=10, warmup=10, progress=False
    )
    assert found.posterior.sizes["draw"] == 10


def test_program_and_data_are_written_for_others(
    radon: sp.Model, tmp_path: Path
) -> None:
    file = radon.write_stan(tmp_path / "new" / "radon.stan", data=True)
    assert file.read_text("utf-8") == radon.stan_code
    written = json.loads((tmp_path / "new" / "radon.json").read_text("utf-8"))
    data = radon.stan_data()
    assert written.keys() == data.keys()
    for name, value in data.items():
        np.testing.assert_array_equal(np.asarray(written[name]), np.asarray(value))
    with pytest.raises(FileExistsError, match="overwrite=True"):
        radon.write_stan(file)
    radon.write_stan(file, overwrite=True)
    with pytest.raises(SpecError, match=r"must end in '\.stan'"):
        radon.write_stan(tmp_path / "radon.txt")


@pytest.mark.compiled
def test_cmdstanpy_runs_what_was_written(tmp_path: Path) -> None:
    import cmdstanpy

    home = sp.engine.ensure(progress=False)
    model = sp.complete_pooling(sp.load_dataset("radon"), outcome="log_radon")
    file = model.write_stan(tmp_path / "radon.stan", data=True)

    def build(folder: Path) -> None:
        cmdstanpy.CmdStanModel(stan_file=shutil.copy(file, folder))

    # Compiled once, as programs of fits are.
    parts = [file.read_text("utf-8"), cmdstanpy.__version__, home.name]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    folder = publish(sp.engine.cache_folder() / "programs" / key, build)
    compiled = cmdstanpy.CmdStanModel(exe_file=str(folder / "radon"))
    found = compiled.sample(
        data=str(tmp_path / "radon.json"), seed=1, chains=2, show_progress=False
    )
    expected = model.fit(seed=1, engine="stanli", progress=False).summary()
    alpha = found.stan_variable("alpha") * model.scaling.outcome
    error = 5 * expected["sd"]["Intercept"] / np.sqrt(500)
    assert abs(alpha.mean() - expected["mean"]["Intercept"]) < error
