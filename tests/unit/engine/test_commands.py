"""`stanpool setup`, `doctor` and `clean`, on an engine in miniature."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

import miniature_engine
from stanpool.cli import main
from stanpool.engine.install import cache, embedded, toolchain, upkeep, wheel

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") and shutil.which("make")),
    reason="the miniature is built by g++ and make",
)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Return the miniature's folder, with an empty cache beside it."""
    source = tmp_path / "miniature"
    miniature_engine.make_wheel(source)
    monkeypatch.setattr(wheel, "_HTTPSTAN", {})
    monkeypatch.setattr(embedded, "_DRIVER", None)
    miniature_engine.pretend(source)
    for variable in ("STANPOOL_CMDSTAN", "CMDSTAN", "CXX", "MAKE"):
        miniature_engine.forget(monkeypatch, variable)
    monkeypatch.setenv("STANPOOL_ENGINE", "embedded")
    monkeypatch.setenv("STANPOOL_CACHE", str(tmp_path / "cache"))
    return source


def _stanpool(*words, stdin=None):
    return CliRunner().invoke(main, [str(word) for word in words], input=stdin)


def test_setup_doctor_clean(source, tmp_path):
    before = json.loads(_stanpool("doctor", "--json").stdout)
    assert (before["kind"], before["ready"]) == ("embedded", False)
    assert "sets itself up" in before["notes"][0]

    done = _stanpool("setup", "--wheel", next(source.glob("*.whl")))
    assert done.exit_code == 0, done.output
    assert "Stan is ready" in done.stdout
    assert "Compiling Stan's headers" in done.stderr
    again = _stanpool("setup")
    assert again.stdout == done.stdout
    assert again.stderr == ""

    after = _stanpool("doctor", "--json")
    found = json.loads(after.stdout)
    assert after.exit_code == 0
    assert found["ready"]
    assert found["stan"] == "2.39.0"
    assert found["home"].endswith(found["identity"])
    assert "g++" in found["compiler"]
    assert found["cache_bytes"]["engines"] > 1000
    assert found["problems"] == []
    assert "All is well." in _stanpool("doctor").stdout

    engine = tmp_path / "cache" / "engines" / f"stan-2.39.0-{found['identity']}"
    old = tmp_path / "cache" / "engines" / "stan-2.34.0-old"
    program = tmp_path / "cache" / "programs" / "some"
    for folder in (old, program):
        cache.publish(folder, lambda path: (path / "x").write_bytes(b"x" * 3_000_000))
    refused = _stanpool("clean", stdin="n\n")
    assert refused.exit_code == 1
    assert program.exists()
    cleaned = _stanpool("clean", "--yes")
    assert "Removed 6 MB" in cleaned.stdout
    assert engine.exists()
    assert not old.exists()
    assert not program.exists()
    assert "nothing to remove" in _stanpool("clean", "--yes").stdout
    assert _stanpool("clean", "--all", "--yes").exit_code == 0
    assert not engine.exists()
    assert cache.cache_size() == {"wheels": 0, "engines": 0, "programs": 0}


def test_trouble_with_the_engine_is_exit_code_3(source, tmp_path, monkeypatch):
    strange = tmp_path / "strange.whl"
    strange.write_bytes(b"strange")
    refused = _stanpool("setup", "--wheel", strange)
    assert refused.exit_code == 3
    assert "not a wheel that the engine can be made of" in refused.stderr
    assert _stanpool("setup", "--wheel", tmp_path / "absent").exit_code == 2

    monkeypatch.delenv("STANPOOL_ENGINE")
    monkeypatch.setenv("CMDSTAN", str(tmp_path))
    sick = _stanpool("doctor")
    assert sick.exit_code == 3
    assert "PROBLEM   CMDSTAN=" in sick.stdout


def test_doctor_tells_an_installed_cmdstan_from_its_tools(
    source, tmp_path, monkeypatch
):
    installed = tmp_path / "cmdstan"
    (installed / "bin").mkdir(parents=True)
    (installed / "makefile").write_text("CMDSTAN_VERSION := 2.36.0\n")
    (installed / "bin" / "stanc").touch()
    monkeypatch.delenv("STANPOOL_ENGINE")
    monkeypatch.setenv("STANPOOL_CMDSTAN", str(installed))
    checkup = upkeep.doctor()
    assert (checkup.kind, checkup.stan, checkup.ok) == ("official", "2.36.0", True)

    monkeypatch.setenv("PATH", str(tmp_path))
    toolchain._compiler.cache_clear()
    problems = " ".join(upkeep.doctor().problems)
    assert "needs a C++ compiler" in problems
    assert "needs GNU make" in problems


def test_doctor_names_other_platforms_and_a_full_disk(source, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "free_space", lambda: 1000)
        assert "1.5 GB are needed" in upkeep.doctor().problems[0]
    monkeypatch.setattr(wheel.platform, "machine", lambda: "aarch64")
    checkup = upkeep.doctor()
    assert checkup.kind is None
    assert "stanpool setup --official" in checkup.problems[0]


def test_a_failed_official_install_says_what_to_do(source, monkeypatch):
    import logging

    import cmdstanpy

    def fail(**_):
        logging.getLogger("cmdstanpy").warning("cannot reach the releases")
        return False

    monkeypatch.setattr(cmdstanpy, "install_cmdstan", fail)
    failed = _stanpool("setup", "--official")
    assert failed.exit_code == 3
    assert "cannot reach the releases" in failed.stderr
    assert "from the package index alone" in failed.stderr
