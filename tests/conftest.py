"""What every test shares: which engine fits, one cache for CmdStan, ``--slow``.

Fits are interpreted by stanli, which takes no compiler. A test that is marked
``compiled`` (``pytestmark`` does it for a file, with its fixtures) has its fits run by
CmdStan: those of the driver, the CSV files, the cache of programs, the likelihoods in
C++, the chains as processes, and a representative part of the posteriors. What such a
test compiles takes 10 to 30 s of a core where the cache is empty, so programs that
others use come first: ``together.py`` lists them. A test that names its engine
(``fit(engine="cmdstan")``) needs the mark as well. With ``--slow`` CmdStan runs the
fits of all tests, and the slow ones are run.
"""

from __future__ import annotations

import atexit
import gc
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Machines are shared: no example is late. The same examples in every run.
settings.register_profile("tests", deadline=None, derandomize=True, max_examples=30)
settings.register_profile("slow", settings.get_profile("tests"), max_examples=100)

# On Windows, those that use a shell, pseudo-terminals, signals or rights of POSIX.
_OF_POSIX = (
    "end_to_end/test_command_line.py",
    "end_to_end/test_engine_run.py",
    "unit/cli/test_cli.py",
    "unit/engine/test_cache.py",
    "unit/engine/test_commands.py",
    "unit/engine/test_interpreter.py",
    "unit/engine/test_process.py",
    "unit/engine/test_run.py",
    "unit/engine/test_setup.py",
    "unit/sampling/test_choose_engine.py",
    "unit/test_surface.py",
)
collect_ignore = list(_OF_POSIX) if os.name == "nt" else []

_ENGINE = "STANPOOL_ENGINE"
_MANY = 4  # files with tests that compile: nearly all of them
_is_whole_suite = pytest.StashKey[bool]()

# Several test processes at once: each keeps to one thread. Set before NumPy loads.
for _library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_library, "1")


def _keep_engine_and_move_other_caches() -> None:
    """Keep the engine's cache and matplotlib's, and let ArviZ write elsewhere.

    ArviZ 0.x notes in a cache folder that it has warned today, and cannot be imported
    where that folder cannot be written. matplotlib reads all fonts of the system, for
    seconds, where it finds no list of them.
    """
    from platformdirs import user_cache_path

    from stanpool.engine.install.cache import cache_folder
    from stanpool.engine.scratch import scratch_folder

    os.environ["STANPOOL_CACHE"] = str(cache_folder())
    os.environ.setdefault("MPLCONFIGDIR", str(user_cache_path("matplotlib")))
    at_the_end = ExitStack()
    atexit.register(at_the_end.close)
    # Should this process be killed, the next one removes its folder.
    os.environ["XDG_CACHE_HOME"] = str(at_the_end.enter_context(scratch_folder()))


_keep_engine_and_move_other_caches()


def pytest_addoption(parser: pytest.Parser) -> None:
    words = "run the slow tests, too, and all fits by CmdStan"
    parser.addoption("--slow", action="store_true", help=words)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("slow" if config.getoption("--slow") else "tests")
    # Once a day, at import; the first line of the message is empty.
    config.addinivalue_line(
        "filterwarnings", r"ignore:\s*ArviZ is undergoing:FutureWarning"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give whole files to processes, in our order: fits of a file are made once."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))
    # Files that compile come last, while CmdStan is being set up.
    later = {item.path for item in items if _compiles(item)}
    config.stash[_is_whole_suite] = len(later) > _MANY
    items.sort(key=lambda item: (item.path in later, "unit" not in item.path.parts))
    is_first = os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0"
    if is_first and any(_compiles(item) or _has_stanc(item) for item in items):
        _set_up_cmdstan_meanwhile(config)


def pytest_collection_finish() -> None:
    """Keep the collector of garbage from going through all tests again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before the fixtures of the test are made
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say what runs the fits of a test, and compile what most tests need."""
    os.environ[_ENGINE] = "cmdstan" if _compiles(item) else "stanli"
    if item.config.stash[_is_whole_suite] and _compiles(item):
        from together import compile_shared

        compile_shared(everything=item.config.getoption("--slow"))


def _compiles(item: pytest.Item) -> bool:
    """Say whether CmdStan runs the fits of a test."""
    if item.get_closest_marker("skip"):
        return False
    if item.config.getoption("--slow"):
        return not {"unit", "golden"} & set(item.path.parts)
    return item.get_closest_marker("compiled") is not None


def _has_stanc(item: pytest.Item) -> bool:
    return "stanc" in getattr(item, "fixturenames", ())


def _set_up_cmdstan_meanwhile(config: pytest.Config) -> None:
    """Begin to set CmdStan up; tests that need it wait for it, or find why not."""
    code = "import stanpool.engine as e; e.ensure(progress=False)"
    setup = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def finish() -> None:
        setup.terminate()
        setup.wait()

    config.add_cleanup(finish)


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save figures as one point: they are made, which is quick, and not drawn."""
    import numpy as np
    from matplotlib.figure import Figure
    from PIL import Image

    from stanpool.report import parts

    def save(_: Figure, file: Any, **__: Any) -> None:
        Image.new("RGB", (1, 1)).save(file, format="png")

    monkeypatch.setattr(Figure, "savefig", save)
    # Reports draw theirs by themselves.
    point = np.zeros((1, 1, 4), np.uint8)
    monkeypatch.setattr(parts, "pixels", lambda figure, dpi: point)


@pytest.fixture(scope="session")
def stanc() -> Path:
    """Return the Stan compiler of CmdStan, set up if need be."""
    from stanpool.engine import ensure

    return ensure(progress=False) / "bin" / "stanc"
