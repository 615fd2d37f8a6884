"""Fits are kept completely or not at all, and read without an engine."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import fit_of_prior


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    """A short fit with awkward labels."""
    data = sp.load_dataset("eight_schools")
    data["a/b's \n school"] = data["school"].replace({"A": "<script>"})
    model = sp.partial_pooling(
        data,
        outcome="y",
        group="a/b's \n school",
        se="sigma",
        priors={"tau": "normal(0, 5)"},
    )
    return model.fit(seed=3, draws=50, warmup=100, chains=2, progress=False)


@pytest.fixture(scope="module")
def saved(fit: sp.Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "fit"
    fit.save(folder)
    return folder


@pytest.fixture
def kept(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "fit")


def test_a_fit_comes_back_as_it_was(fit: sp.Fit, kept: Path) -> None:
    back = sp.load(kept)
    assert back.posterior.identical(fit.posterior)
    assert back.sample_stats.identical(fit.sample_stats)
    # What was chosen automatically is not chosen anew.
    assert replace(back.model.spec, parameterization="auto") == fit.model.spec
    assert back.model.parameterization == fit.model.parameterization
    assert back.model.priors == fit.model.priors
    assert back.settings == fit.settings
    assert back.program == fit.program
    assert back.model.data.equals(fit.model.data)


def test_a_loaded_fit_has_the_same_diagnosis(fit: sp.Fit, kept: Path) -> None:
    assert str(sp.load(kept).diagnose()) == str(fit.diagnose())


def test_loading_needs_no_engine(kept: Path, tmp_path: Path) -> None:
    code = f"import stanpool as sp; print(sp.load({str(kept)!r}).summary().shape[0])"
    environment = {
        **os.environ,
        "PATH": "",
        "STANPOOL_CACHE": str(tmp_path / "no-cache"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "10", done.stderr
    assert not (tmp_path / "no-cache").exists()


@pytest.mark.parametrize("name", ["model.json", "program.stan", "data.nc", "draws.nc"])
def test_a_changed_or_truncated_file_is_refused(kept: Path, name: str) -> None:
    (file,) = kept.glob(f"saved-*/{name}")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(sp.DataError, match="not the file that was saved"):
        sp.load(kept)


def test_a_fit_of_summed_memberships_is_refused(kept: Path) -> None:
    """Of format 1, whose mm() without weights was the sum of groups."""
    (path,) = kept.glob("saved-*/model.json")
    content = json.loads(path.read_text())
    content["spec"]["groups"][0] |= {"membership": "labels", "weights": []}
    path.write_text(json.dumps(content))
    manifest = json.loads((kept / "manifest.json").read_text()) | {"format": 1}
    manifest["sha256"]["model.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (kept / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(sp.DataError, match=r"mm\(\) without weights was the sum"):
        sp.load(kept)


def test_a_fit_whose_two_bars_meant_elsewhere_is_refused(tmp_path: Path) -> None:
    """Its coefficients are correlated where predictors are 0."""
    data = small_data().assign(x1=small_data()["x1"] + 1000.0)
    meant = sp.Model("y ~ x1 + (1 + x1 || g)", data)
    fit_of_prior(meant).save(tmp_path / "now")
    assert "Omega_g" not in sp.load(tmp_path / "now").posterior
    drawn = fit_of_prior(sp.Model("y ~ x1 + (1 + x1 | g)", data))
    replace(drawn, model=meant).save(tmp_path / "before")
    with pytest.raises(sp.DataError, match=r"of 'g' are correlated .* center\(x\)"):
        sp.load(tmp_path / "before")


def test_a_newer_format_is_refused(kept: Path) -> None:
    manifest = json.loads((kept / "manifest.json").read_text())
    (kept / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(sp.DataError, match=r"format 99.*Upgrade"):
        sp.load(kept)


def test_a_folder_that_is_no_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no saved fit"):
        sp.load(tmp_path)


def test_nothing_is_overwritten_unless_asked(fit: sp.Fit, kept: Path) -> None:
    with pytest.raises(FileExistsError, match="overwrite=True"):
        fit.save(kept)
    fit.save(kept, overwrite=True)
    assert sp.load(kept).posterior.identical(fit.posterior)


def test_a_foreign_folder_is_never_overwritten(fit: sp.Fit, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("text")
    with pytest.raises(FileExistsError):
        fit.save(tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_a_failed_save_leaves_nothing(
    fit: sp.Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("stanpool.sampling.saving.versions._sha256", full_disk)
    with pytest.raises(OSError, match="no space"):
        fit.save(tmp_path / "fit")
    assert list(tmp_path.iterdir()) == []


class TestReuse:
    """``fit(file=...)`` samples only if the fit would be another."""

    @pytest.fixture
    def how(self, kept: Path) -> dict[str, Any]:
        settings = {"draws": 50, "warmup": 100, "chains": 2, "seed": 3}
        return {**settings, "progress": False, "file": kept}

    def test_the_same_again_is_read_and_keeps_the_model(
        self, fit: sp.Fit, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("stanpool.sampling.saving.storage.sample_model", _refuse)
        for seed in (3, None):
            again = fit.model.fit(**how | {"seed": seed})
            assert again.posterior.identical(fit.posterior)
            assert again.model is fit.model

    def test_what_decides_nothing_may_change(
        self, fit: sp.Fit, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("stanpool.sampling.saving.storage.sample_model", _refuse)
        same = fit.model.with_(parameterization=fit.model.parameterization)
        again = same.fit(**how, parallel_chains=1)
        assert again.posterior.identical(fit.posterior)

    @pytest.mark.parametrize(
        ("change", "settings", "said"),
        [
            ({}, {"seed": 4}, "seed was 3 and is 4"),
            ({}, {"adapt_delta": 0.95}, "adapt_delta was 0.9 and is 0.95"),
            ({}, {"inits": 0.1}, "inits was None and is 0.1"),
            ({}, {"prior_only": True}, "prior_only was False"),
            ({"pooling": "complete"}, {}, "pooling was 'partial' and is 'complete'"),
            ({"parameterization": "centered"}, {}, "program has changed"),
            (
                {"priors": (("tau", sp.Prior.parse("normal(0, 6)")),)},
                {},
                "priors have changed",
            ),
        ],
    )
    def test_what_has_changed_is_said_and_fitted_anew(
        self,
        fit: sp.Fit,
        how: dict[str, Any],
        change: dict[str, Any],
        settings: dict[str, Any],
        said: str,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        anew = _FittedAnew(fit)
        monkeypatch.setattr("stanpool.sampling.saving.storage.sample_model", anew)
        with caplog.at_level(logging.INFO, logger="stanpool"):
            fit.model.with_(**change).fit(**how | settings)
        assert said in caplog.text
        assert anew.times == 1
        assert sp.load(how["file"]).seconds == 12345.0

    def test_other_data_are_fitted_anew(
        self, fit: sp.Fit, how: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        other = fit.model.with_outcome(fit.model.design.y + 1.0)
        with caplog.at_level(logging.INFO, logger="stanpool"):
            again = other.fit(**how)
        assert "the data have changed" in caplog.text
        assert not again.posterior.identical(fit.posterior)
        assert sp.load(how["file"]).posterior.identical(again.posterior)

    def test_a_damaged_fit_is_replaced(
        self, fit: sp.Fit, how: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        (draws,) = how["file"].glob("saved-*/draws.nc")
        draws.write_bytes(b"")
        with caplog.at_level(logging.INFO, logger="stanpool"):
            again = fit.model.fit(**how)
        assert "not the file that was saved" in caplog.text
        assert again.posterior.identical(fit.posterior)
        assert sp.load(how["file"]).posterior.identical(fit.posterior)

    def test_a_first_fit_is_kept(
        self, fit: sp.Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "stanpool.sampling.saving.storage.sample_model", _FittedAnew(fit)
        )
        fit.model.fit(file=tmp_path / "folder" / "new.fit")
        assert sp.load(tmp_path / "folder" / "new.fit").posterior.identical(
            fit.posterior
        )

    def test_what_is_no_fit_is_refused_before_sampling(
        self, fit: sp.Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("stanpool.sampling.saving.storage.sample_model", _refuse)
        (tmp_path / "thesis.tex").write_text("text")
        for path in (tmp_path, tmp_path / "thesis.tex"):
            with pytest.raises(FileExistsError, match="Choose another path"):
                fit.model.fit(file=path)

    def test_the_old_fit_survives_one_that_fails(
        self, fit: sp.Fit, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("stanpool.sampling.saving.storage.sample_model", _refuse)
        with pytest.raises(AssertionError):
            fit.model.fit(**how | {"seed": 4})
        assert sp.load(how["file"]).posterior.identical(fit.posterior)


class _FittedAnew:
    """Stands in for the sampler: the fit that it is given, and how often."""

    def __init__(self, fit: sp.Fit) -> None:
        self.fit, self.times = fit, 0

    def __call__(self, model: sp.Model, settings: Any, **_: Any) -> sp.Fit:
        self.times += 1
        return replace(self.fit, seconds=12345.0)


def _refuse(*_: Any, **__: Any) -> sp.Fit:
    raise AssertionError("sampled, though nothing has changed")
