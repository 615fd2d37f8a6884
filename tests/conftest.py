"""What every test shares: one cache for the engine, a home for ArviZ, ``--slow``."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Machines are shared: no example is late. The same examples in every run.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")

_MANY = 200  # tests that need programs: nearly all of them
_is_whole_suite = pytest.StashKey[bool]()

# Draws that tests know are those of compiled programs. Set before stanpool loads.
os.environ.setdefault("STANPOOL_ENGINE", "cmdstan")

# Several test processes at once: each keeps to one thread. Set before NumPy loads.
for _library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_library, "1")


def _keep_engine_and_move_other_caches() -> None:
    """Keep the engine's cache where it is, and let ArviZ write elsewhere.

    ArviZ 0.x notes in a cache folder that it has warned today, and cannot be imported
    where that folder cannot be written.
    """
    from stanpool.engine.install.cache import cache_folder

    os.environ["STANPOOL_CACHE"] = str(cache_folder())
    folder = tempfile.mkdtemp(prefix="stanpool-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["XDG_CACHE_HOME"] = folder


_keep_engine_and_move_other_caches()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests, too")


def pytest_configure(config: pytest.Config) -> None:
    # Once a day, at import; the first line of the message is empty.
    config.addinivalue_line(
        "filterwarnings", r"ignore:\s*ArviZ is undergoing:FutureWarning"
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))
    needy = sum(map(_needs_programs, items))
    config.stash[_is_whole_suite] = needy > _MANY
    # What needs no engine comes first, while the engine is being set up.
    items.sort(key=lambda item: "unit" not in item.path.parts)
    is_first = os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0"
    if is_first and any("unit" not in item.path.parts for item in items):
        _set_up_engine_meanwhile(config)


def pytest_collection_finish() -> None:
    """Keep the collector of garbage from going through all tests again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Compile what most of the suite needs, before the first test that needs some."""
    if item.config.stash[_is_whole_suite] and _needs_programs(item):
        from together import compile_shared

        compile_shared()


def _needs_programs(item: pytest.Item) -> bool:
    return not {"unit", "golden"} & set(item.path.parts)


def _set_up_engine_meanwhile(config: pytest.Config) -> None:
    """Begin to set the engine up; tests that need it wait for it, or find why not."""
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


@pytest.fixture(scope="session")
def stanc() -> Path:
    """Return the Stan compiler of the engine, set up if need be."""
    from stanpool.engine import ensure

    return ensure(progress=False) / "bin" / "stanc"
