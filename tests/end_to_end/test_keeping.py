"""Fits are kept completely or not at all, and read without an engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import stanpool as sp


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


@pytest.fixture
def kept(fit: sp.Fit, tmp_path: Path) -> Path:
    fit.save(tmp_path / "fit")
    return tmp_path / "fit"


def test_a_fit_comes_back_as_it_was(fit: sp.Fit, kept: Path) -> None:
    back = sp.load(kept)
    assert back.posterior.identical(fit.posterior)
    assert back.sample_stats.identical(fit.sample_stats)
    assert back.model.spec == fit.model.spec
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
    content = (kept / name).read_bytes()
    (kept / name).write_bytes(content[:-20])
    with pytest.raises(sp.DataError, match="not the file that was saved"):
        sp.load(kept)


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

    monkeypatch.setattr("stanpool.keeping._sha256", full_disk)
    with pytest.raises(OSError, match="no space"):
        fit.save(tmp_path / "fit")
    assert list(tmp_path.iterdir()) == []
