"""The wheel, alone and in clean environments of the oldest and newest Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAIN_JOB = """
import sys

import stanpool as sp
model = sp.Model("y | se(sigma) ~ 1 + (1 | school)", sp.load_dataset("eight_schools"),
                 parameterization="noncentered")
fit = model.fit(seed=1, draws=200, warmup=200, progress=False)
assert fit.summary().loc["b_school[A, Intercept]", "mean"] > 0
fit.diagnose()
# They are a third of the time that a first fit takes to load.
assert not {"arviz", "matplotlib"} & sys.modules.keys()
assert "posterior" in fit.to_arviz()
"""


def interpreter(version: str) -> str:
    """Return a Python of that version, or skip."""
    if sys.version.startswith(f"{version}."):
        return sys.executable
    found = shutil.which(f"python{version}")
    if found is None or subprocess.run([found, "-V"], capture_output=True).returncode:
        pytest.skip(f"no python{version} on this machine")
    return found


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)])
    (built,) = folder.glob("*.whl")
    return built


def run(command: list[str], **environment: str) -> str:
    """Run a command and return what it prints; show its errors if it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow  # all that the wheel needs is installed
@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_main_job_works_from_the_wheel_in_a_clean_environment(
    version: str, wheel: Path, tmp_path: Path
) -> None:
    run([interpreter(version), "-m", "venv", str(tmp_path / "venv")])
    python = str(tmp_path / "venv" / "bin" / "python")
    run([python, "-m", "pip", "install", "--quiet", "--no-compile", str(wheel)])
    run([python, "-W", "error::DeprecationWarning:stanpool", "-c", MAIN_JOB])


def test_main_job_works_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    """Beside what is installed, as it is where the README's command runs the tests."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "wheel")
    code = f"{MAIN_JOB}\nassert sp.__file__.startswith({str(tmp_path)!r})"
    words = [sys.executable, "-P", "-W", "error::DeprecationWarning:stanpool"]
    run([*words, "-c", code], PYTHONPATH=str(tmp_path / "wheel"))


@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_every_python_reads_the_wheel(
    version: str, wheel: Path, tmp_path: Path
) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    words = ["-W", "error", "-m", "compileall", "-q", str(tmp_path / "stanpool")]
    run([interpreter(version), *words])


def test_wheel_ships_templates_data_and_the_driver(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "stanpool/shipped/stan_templates/partial_pooling.stan.jinja",
        "stanpool/shipped/stan_templates/terms/group.stan.jinja",
        "stanpool/shipped/stan_templates/cpp/grouped_glm.hpp",
        "stanpool/shipped/data/radon/radon.csv",
        "stanpool/shipped/data/radon/SOURCE.md",
        "stanpool/engine/driver/main.cpp",
        "stanpool/engine/install/makefiles/make.sh",
        "stanpool/py.typed",
    ):
        assert needed in names


USER_SCRIPT = """
# pyright: basic, reportUnnecessaryTypeIgnoreComment=true
from typing import assert_type

import xarray as xr

import stanpool as sp
from stanpool import Fit, Model

data = {"y": [1.0, 2.0], "g": ["a", "b"]}
model = Model("y ~ 1 + (1 | g)", data, pooling="partial")
fit = model.fit(seed=1, draws=100)
assert_type(fit, Fit)
assert_type(fit.diagnose(), sp.Diagnosis)
assert_type(fit.predict(data), xr.DataArray)
fit.summary(prob=0.5)
fit.plot.forest()
sp.compare_pooling(model)
model.fit(seed="one")  # type: ignore[arg-type]
model.fit(engine="other")  # type: ignore[arg-type]
Model("y ~ 1", data, pooling="half")  # type: ignore[arg-type]
fit.predict(dat=data)  # type: ignore[call-overload]
fit.summary(probability=0.5)  # type: ignore[call-arg]
"""


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_see_the_types_of_an_installed_stanpool(
    checker: str, wheel: Path, tmp_path: Path
) -> None:
    if shutil.which(checker) is None:
        pytest.skip(f"no {checker} on this machine")
    run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")])
    python = tmp_path / "venv" / "bin" / "python"
    find = "import sysconfig; print(sysconfig.get_path('purelib'))"
    installed = Path(run([str(python), "-c", find]).strip())
    zipfile.ZipFile(wheel).extractall(installed)
    (installed / "others.pth").write_text(sysconfig.get_path("purelib"))
    script = tmp_path / "script.py"
    script.write_text(USER_SCRIPT)
    options = {
        "mypy": ["--strict", "--config-file=", "--python-executable", str(python)],
        "pyright": ["--pythonpath", str(python)],
    }
    run([checker, *options[checker], str(script)])
