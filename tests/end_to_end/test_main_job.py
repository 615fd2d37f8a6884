"""The main job through public names only: state, fit, read, keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stanpool as sp

FORMULA = "log_radon ~ floor + (1 | county)"
FORMS = {
    "complete": {"pooling": "complete"},
    "none": {"pooling": "none"},
    "centered": {"parameterization": "centered"},
    "noncentered": {"parameterization": "noncentered"},
}


@pytest.fixture(scope="module")
def fits() -> dict[str, sp.Fit]:
    model = sp.Model(FORMULA, sp.load_dataset("radon"))
    return {
        name: model.with_(**options).fit(seed=1, progress=False)
        for name, options in FORMS.items()
    }


class TestRadon:
    def test_partial_pooling_lies_between_complete_and_no_pooling(
        self, fits: dict[str, sp.Fit]
    ) -> None:
        common = float(fits["complete"].posterior["Intercept"].mean())
        own, partial = (
            fits[name].posterior["b_county"].sel(county_coefficient="Intercept")
            for name in ("none", "noncentered")
        )
        means = [each.mean(("chain", "draw")).to_numpy() for each in (own, partial)]
        spreads = [float(np.std(each)) for each in means]
        assert 0 < spreads[1] < spreads[0]
        sizes = sp.load_dataset("radon").groupby("county").size().to_numpy()
        pulled = np.abs(means[1] - means[0]) / np.abs(means[0] - common)
        assert np.median(pulled[sizes <= 3]) > np.median(pulled[sizes >= 20])

    def test_parameterizations_agree(self, fits: dict[str, sp.Fit]) -> None:
        one, other = (fits[name].summary() for name in ("centered", "noncentered"))
        assert list(one.index) == list(other.index)
        error = np.hypot(one["mcse_mean"], other["mcse_mean"])
        assert ((one["mean"] - other["mean"]).abs() <= 4.8 * error).all()

    def test_the_summary_names_everything(self, fits: dict[str, sp.Fit]) -> None:
        labels = set(fits["noncentered"].summary().index)
        assert {"Intercept", "beta[floor]", "sigma"} <= labels
        assert {"tau_county[Intercept]", "b_county[AITKIN, Intercept]"} <= labels
        assert len(fits["noncentered"].summary(groups=False)) == 4

    @pytest.mark.parametrize("name", ["complete", "none", "noncentered"])
    def test_these_fits_can_be_trusted(
        self, fits: dict[str, sp.Fit], name: str
    ) -> None:
        diagnosis = fits[name].diagnose()
        assert diagnosis.ok, str(diagnosis)

    def test_draws_and_chains_are_as_asked(self, fits: dict[str, sp.Fit]) -> None:
        posterior = fits["centered"].posterior
        assert dict(posterior.sizes)["chain"] == 4
        assert dict(posterior.sizes)["draw"] == 1000

    def test_arviz_takes_the_draws(self, fits: dict[str, sp.Fit]) -> None:
        tree = fits["noncentered"].to_arviz()
        assert tree["posterior"]["b_county"].sizes["county"] == 85
        assert not tree["sample_stats"]["diverging"].any()

    def test_a_kept_fit_is_the_fit(
        self, fits: dict[str, sp.Fit], tmp_path: Path
    ) -> None:
        fits["noncentered"].save(tmp_path / "radon")
        again = sp.load(tmp_path / "radon")
        assert again.posterior.identical(fits["noncentered"].posterior)
        assert again.model.stan_code == fits["noncentered"].model.stan_code
        pd.testing.assert_frame_equal(again.summary(), fits["noncentered"].summary())


@pytest.mark.compiled
def test_the_same_seed_gives_the_same_draws() -> None:
    model = sp.Model(FORMULA, sp.load_dataset("radon"), parameterization="noncentered")
    one, other, third = (
        model.fit(seed=seed, chains=2, draws=50, warmup=100, progress=False).posterior
        for seed in (7, 7, 8)
    )
    assert one.identical(other)
    assert not one.equals(third)


@pytest.mark.compiled
def test_another_project_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other data, names and prior scales find the executable in the cache."""
    options = {"chains": 1, "draws": 20, "warmup": 20, "seed": 1, "progress": False}
    model = sp.Model(FORMULA, sp.load_dataset("radon"), parameterization="noncentered")
    model.fit(**options)
    import stanpool.engine.cmdstan.compile as compiling

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(compiling, "_build", refuse)
    other = sp.Model(
        "Reaction ~ Days + (1 | Subject)",
        sp.load_dataset("sleepstudy"),
        parameterization="noncentered",
        priors={"Intercept": "normal(250, 70)", "tau": "exponential(0.05)"},
    )
    assert other.fit(**options).posterior.sizes["Subject"] == 18


def test_any_text_goes_through_to_the_end(tmp_path: Path) -> None:
    """Names and labels that would be code anywhere are data everywhere."""
    outcome, predictor, factor = 'y */ "', "{{ 7 * 7 }}\n`$(id)`", "a/b <b>'%s'"
    labels = ["draw", "x" * 10_000, "*/ {% raw %}", "größe\n\u2028😀", "../../etc"]
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {
            outcome: rng.normal(size=40),
            predictor: rng.normal(size=40),
            factor: np.repeat(labels, 8),
        }
    )
    model = sp.partial_pooling(
        data,
        outcome=outcome,
        predictors=[predictor],
        group=factor,
        parameterization="noncentered",
    )
    plain = sp.Model(FORMULA, sp.load_dataset("radon"), parameterization="noncentered")
    assert model.program == plain.program
    fit = model.fit(chains=2, draws=100, warmup=200, seed=1, progress=False)
    own = fit.posterior["b_a:b <b>'%s'"]
    assert set(own["a:b <b>'%s'"].to_numpy()) == set(labels)
    assert fit.posterior["beta"].sel(coefficient=predictor).shape == (2, 100)
    assert f"beta[{predictor}]" in fit.summary().index
    assert str(fit.diagnose())
    assert fit.to_arviz()["posterior"]["beta"].shape == (2, 100, 1)
    fit.save(tmp_path / "kept")
    assert sp.load(tmp_path / "kept").posterior.identical(fit.posterior)


def test_a_frame_modified_after_the_model_was_built_has_no_effect() -> None:
    radon = sp.load_dataset("radon")
    model = sp.Model(FORMULA, radon, parameterization="noncentered")
    options = {"chains": 1, "draws": 20, "warmup": 50, "seed": 3, "progress": False}
    before = model.fit(**options).posterior
    radon["log_radon"] = 0.0
    radon["county"] = "nowhere"
    assert model.fit(**options).posterior.identical(before)


def test_what_groups_share_is_learned_from_all_of_them() -> None:
    """Correlated intercepts and slopes of the sleep study."""
    model = sp.Model(
        "Reaction ~ Days + (1 + Days | Subject)",
        sp.load_dataset("sleepstudy"),
        parameterization="noncentered",
    )
    posterior = model.fit(seed=1, progress=False).posterior
    omega = posterior["Omega_Subject"].mean(("chain", "draw"))
    np.testing.assert_allclose(np.diag(omega), 1)
    np.testing.assert_allclose(omega, omega.T, atol=1e-8)
    own = posterior["b_Subject"].sel(Subject_coefficient="Days").mean(("chain", "draw"))
    assert float(own.sel(Subject=308)) > float(own.sel(Subject=335))
