"""The set-up of the embedded engine, on a miniature of it: every way to go wrong."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

import miniature_engine
from like_windows import like_windows
from stanpool.base.errors import EngineError, SpecError
from stanpool.engine import compile_program
from stanpool.engine.cmdstan import timings
from stanpool.engine.install import (
    cache,
    contents,
    embedded,
    home,
    toolchain,
    upkeep,
    wheel,
)

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") and shutil.which("make")),
    reason="the miniature is built by g++ and make",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Return a folder with the miniature's wheel and driver."""
    folder = tmp_path_factory.mktemp("miniature")
    miniature_engine.make_wheel(folder)
    return folder


def _use_miniature(monkeypatch, source: Path, folder: Path) -> Path:
    """Take the cache ``folder`` and the miniature for the real things, until undone."""
    for variable in ("STANPOOL_CMDSTAN", "CMDSTAN", "CXX", "MAKE"):
        miniature_engine.forget(monkeypatch, variable)
    for variable, value in miniature_engine.index_of(source).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("STANPOOL_CACHE", str(folder))
    monkeypatch.setenv("STANPOOL_ENGINE", "embedded")
    monkeypatch.setattr(wheel, "_HTTPSTAN", {})
    monkeypatch.setattr(embedded, "_DRIVER", Path())
    monkeypatch.setattr(toolchain, "_PROBE", "")
    miniature_engine.pretend(source)
    return folder


@pytest.fixture
def folder(source, tmp_path, monkeypatch):
    """Return an empty cache, at a path with blanks and quotes, with an index."""
    return _use_miniature(monkeypatch, source, tmp_path / 'my "cache" of Zoë\'s')


@pytest.fixture
def copied(source, monkeypatch):
    """Copy the wheel where it is needed: that pip fetches it is said by other tests."""

    def copy(_: wheel.Wheel, place: Path, tick: object) -> Path:
        return Path(shutil.copy(next(source.glob("*.whl")), place))

    monkeypatch.setattr(wheel, "_fetch", copy)


@pytest.fixture(scope="module")
def ready(source, tmp_path_factory):
    """Return an engine that is set up, for tests that only build programs with it."""
    folder = tmp_path_factory.mktemp('Zoë\'s "cache" ')
    with pytest.MonkeyPatch.context() as monkeypatch:
        _use_miniature(monkeypatch, source, folder)
        yield embedded.set_up(progress=False)


@pytest.fixture
def path_without(tmp_path, monkeypatch):
    """Hide programs: the path becomes a folder with links to all the others."""

    def hide(*hidden):
        tools = tmp_path / "tools"
        tools.mkdir()
        wanted = "sh dirname mkdir rm mv cp cat seq nproc getconf grep g++ as ld make"
        for name in wanted.split():
            found = shutil.which(name)
            if found and name not in hidden:
                (tools / name).symlink_to(found)
        monkeypatch.setenv("PATH", str(tools))

    return hide


def _program(tmp_path: Path, text: str = "42") -> Path:
    program = tmp_path / "models" / "program.stan"
    program.parent.mkdir(exist_ok=True)
    program.write_text(text)
    return program.with_suffix("")


def _make(ready: Path, make: str | Path, *words: str | Path) -> str:
    # As cmdstanpy calls it.
    done = subprocess.run(
        [make, "STANCFLAGS+=--filename-in-msg=my\\ program.stan", *words],
        cwd=ready,
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def _leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob("*.partial*"))


def test_set_up_makes_a_home_that_builds_programs(folder, tmp_path):
    ready = embedded.set_up(progress=False)

    assert ready.parent.parent == folder
    assert home.stan_version(ready) == "2.39.0"
    assert home.identity(ready) == ready.name.removeprefix("stan-2.39.0-")
    for make in ("make", ready / "bin" / "make"):
        target = _program(tmp_path)
        said = _make(ready, make, target)
        assert "Compiling C++ code" in said, said
        run = subprocess.run([target], capture_output=True, text=True, check=True)
        assert run.stdout == "42 of my program.stan\n"
        target.unlink()
    assert not _leftovers(folder)


def test_only_what_is_needed_is_unpacked(folder, copied):
    ready = embedded.set_up(progress=False)

    unpacked = {
        str(path.relative_to(ready / "include"))
        for path in (ready / "include").rglob("*.h*")
    }
    assert unpacked == {"stan/model/model_header.hpp", "boost/math/math.hpp"}
    assert not list(folder.rglob("stan_services.o"))
    assert not list(folder.rglob("*.whl"))


def test_a_second_set_up_does_nothing_and_force_builds_again(folder, copied, capsys):
    ready = embedded.set_up()
    assert "Fetching httpstan-4.17.0" in capsys.readouterr().err
    built = (ready / "build" / "plain").stat().st_ctime_ns

    assert embedded.set_up() == ready
    assert capsys.readouterr().err == ""
    assert (ready / "build" / "plain").stat().st_ctime_ns == built

    assert embedded.set_up(force=True) == ready
    assert "Fetching" not in capsys.readouterr().err
    assert (ready / "build" / "plain").stat().st_ctime_ns != built


def test_another_driver_or_compiler_is_another_engine(folder, tmp_path, monkeypatch):
    first = embedded.home_of(embedded.choose_compiler())
    monkeypatch.setenv("CXX", "g++ -march=native")
    tuned = embedded.home_of(embedded.choose_compiler())
    monkeypatch.delenv("CXX")
    driver = tmp_path / "driver"
    shutil.copytree(embedded._DRIVER, driver)
    (driver / "main.cpp").write_text(miniature_engine.DRIVER + "\n")
    monkeypatch.setattr(embedded, "_DRIVER", driver)
    changed = embedded.home_of(embedded.choose_compiler())

    assert len({first, tuned, changed}) == 3


@pytest.mark.parametrize(
    "word",
    ["STAN_THREADS=TRUE", "STAN_NO_RANGE_CHECKS=TRUE", "CXXFLAGS+=-DX", "O=0"],
)
def test_variables_of_cmdstans_makefile(ready, tmp_path, word):
    for make in ("make", ready / "bin" / "make"):
        target = _program(tmp_path)
        said = _make(ready, make, word, target)
        assert target.exists(), said
        target.unlink()


def test_user_header_comes_after_the_models(ready, tmp_path):
    header = tmp_path / "mine.hpp"
    header.write_text("inline vector mine() { return {}; }")

    target = _program(tmp_path)
    said = _make(ready, "make", f"USER_HEADER={header}", target)

    assert target.exists(), said


def test_flags_of_the_shell_do_not_reach_the_compiler(ready, tmp_path, monkeypatch):
    for name in ("CXXFLAGS", "CPPFLAGS", "LDFLAGS", "STANCFLAGS", "O"):
        monkeypatch.setenv(name, "--no-such-flag")
    for make in ("make", ready / "bin" / "make"):
        target = _program(tmp_path)
        said = _make(ready, make, target)
        assert target.exists(), said
        target.unlink()


def test_a_refused_program_fails_and_leaves_no_executable(ready, tmp_path):
    target = _program(tmp_path, "refuse me")

    for make in ("make", ready / "bin" / "make"):
        assert "Syntax error in 'my program.stan'" in _make(ready, make, target)
        assert not target.exists()
    assert "no file" in _make(ready, ready / "bin" / "make", tmp_path / "absent")
    assert "no OpenCL" in _make(ready, "make", "STAN_OPENCL=TRUE", target)


def test_without_make_our_own_takes_its_place(folder, copied, tmp_path, path_without):
    path_without("make")

    ready = home.ensure(progress=False)

    assert os.environ["MAKE"] == str(ready / "bin" / "make")
    target = _program(tmp_path)
    said = _make(ready, os.environ["MAKE"], target)
    assert target.exists(), said


def test_the_compiler_of_this_machine_is_taken_for_one_that_works():
    found = toolchain.find_compiler()
    toolchain.probe(found)
    assert embedded.choose_compiler() == found


def test_without_a_compiler_that_works_the_index_has_one(folder, path_without):
    path_without("g++")
    assert embedded.choose_compiler().kind == "zig"

    broken = Path(os.environ["PATH"], "g++")
    broken.write_text("#!/bin/sh\n[ $1 = --version ] && echo g++ 99\n")
    broken.chmod(0o755)
    toolchain._compiler.cache_clear()
    assert embedded.choose_compiler().kind == "zig"
    toolchain._compiler.cache_clear()


def test_a_wrong_checksum_is_refused_and_the_file_removed(folder, monkeypatch):
    known = wheel._HTTPSTAN
    here, published = next(iter(known.items()))
    other = replace(published, digests=("0" * 64,))
    monkeypatch.setattr(wheel, "_HTTPSTAN", {here: other})

    with pytest.raises(EngineError, match=r"has SHA-256 \w{64}, expected 0{64}"):
        embedded.set_up(progress=False)

    assert not list(folder.rglob("*.whl"))
    assert not _leftovers(folder)
    monkeypatch.setattr(wheel, "_HTTPSTAN", known)
    assert embedded.is_ready(embedded.set_up(progress=False))


def test_a_pip_that_minds_no_digest_is_not_trusted(folder, tmp_path, monkeypatch):
    careless = tmp_path / "pip.py"
    careless.write_text(
        "import pathlib, sys\n"
        "(dest,) = [word[7:] for word in sys.argv if word.startswith('--dest=')]\n"
        "pathlib.Path(dest, 'httpstan-4.17.0.whl').write_text('built anew')\n"
    )
    monkeypatch.setattr(wheel, "pip_command", lambda: [sys.executable, str(careless)])
    with pytest.raises(EngineError, match=r"has SHA-256 \w{64}, expected \w{64}"):
        embedded.set_up(progress=False)
    assert not list(folder.rglob("*.whl"))


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_files_of_one_version_the_known_one_is_taken(
    folder, source, tmp_path, monkeypatch, order
):
    """PyPI has two of httpstan 4.17.0 for one Python, the second a year younger."""
    known = next(source.glob("*.whl"))
    first, second = (
        "manylinux2014_x86_64.manylinux_2_17_x86_64",
        "manylinux_2_17_x86_64.manylinux2014_x86_64",
    )
    page = tmp_path / "httpstan"
    page.mkdir()
    project = known.name.partition("-cp312-")[0]
    other = page / f"{project}-cp312-cp312-{second}.whl"
    other.write_bytes(b"built anew")
    shutil.copyfile(known, page / f"{project}-cp312-cp312-{first}.whl")
    links = [
        f'<a href="{file.name}#sha256={wheel.sha256(file)}">{file.name}</a>'
        for file in sorted(page.glob("*.whl"))[::order]
    ]
    (page / "index.html").write_text("<!DOCTYPE html>" + "\n".join(links))
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", tmp_path.as_uri())
    assert embedded.is_ready(embedded.set_up(progress=False))


def test_without_an_index_a_wheel_file_serves(folder, source, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(EngineError, match=r"(?s)cannot fetch httpstan.*--wheel FILE"):
        embedded.set_up(progress=False)

    other = tmp_path / "other.whl"
    other.write_bytes(b"not a wheel")
    with pytest.raises(EngineError, match="not a wheel that the engine can be made"):
        embedded.set_up(progress=False, wheels=[other])

    renamed = tmp_path / "downloaded.whl"
    shutil.copyfile(next(source.glob("*.whl")), renamed)
    assert embedded.is_ready(embedded.set_up(progress=False, wheels=[renamed]))


def test_killed_at_any_moment_the_next_run_works(folder, source, tmp_path):
    environment = {"STANPOOL_CACHE": str(folder)}
    for delay in (0.3, 0.6, 0.9, 1.2):
        process = miniature_engine.start_set_up(source, environment)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for ready in (folder / "engines").glob("stan-*"):
            # What is there is whole.
            assert (ready / "engine.json").exists()
            assert not (ready / "build" / "plain" / "taken").exists()

    ready = embedded.set_up(progress=False)

    target = _program(tmp_path)
    said = _make(ready, "make", target)
    assert target.exists(), said
    assert not _leftovers(folder)


def test_two_at_once_build_once(folder, source):
    """Both find that somebody is at work, so that neither is done before the other."""
    environment = {"STANPOOL_CACHE": str(folder)}
    wanted = embedded.unpacked_folder(embedded.httpstan())
    wanted.parent.mkdir(parents=True)
    with FileLock(cache._lock_file(wanted)):
        both = [miniature_engine.start_set_up(source, environment) for _ in range(2)]
        for process in both:
            assert any("Waiting for another" in line for line in process.stderr)
    said = [process.communicate(timeout=120) for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert len(list((folder / "wheels").glob("httpstan*"))) == 1
    assert not _leftovers(folder)


def test_a_cache_that_cannot_be_written_is_named(folder, copied):
    folder.write_text("a file where the cache should be")
    with pytest.raises(EngineError, match=r"cannot write to .*STANPOOL_CACHE"):
        embedded.set_up(progress=False)
    assert "is a file" in str(cache.why_not_writable())

    folder.unlink()
    assert cache.why_not_writable() is None
    assert embedded.is_ready(embedded.set_up(progress=False))


def test_a_full_disk_is_named_before_and_during(folder, copied, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "free_space", lambda: 12_000_000)
        with pytest.raises(EngineError, match=r"0\.0 GB are free, 1\.5 GB are needed"):
            embedded.set_up(progress=False)

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(embedded, "_lay_out", fail)
        with pytest.raises(
            EngineError, match=r"No space left on device.*STANPOOL_CACHE"
        ):
            embedded.set_up(progress=False)
    assert not _leftovers(folder)
    assert embedded.is_ready(embedded.set_up(progress=False))


def test_other_platforms_are_told_of_the_official_install(folder, monkeypatch):
    monkeypatch.setattr(wheel.platform, "machine", lambda: "aarch64")
    with pytest.raises(EngineError, match=r"on aarch64.*stanpool setup --official"):
        embedded.set_up(progress=False)


def test_the_order_in_which_an_engine_is_found(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("STANPOOL_ENGINE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home.find_official() is None

    def official(path: Path) -> Path:
        (path / "bin").mkdir(parents=True)
        (path / "makefile").write_text("CMDSTAN_VERSION := 2.36.0\n")
        (path / "bin" / "stanc").touch()
        return path

    installed = official(tmp_path / ".cmdstan" / "cmdstan-2.36.0")
    assert home.find_official() == installed
    monkeypatch.setenv("CMDSTAN", str(official(tmp_path / "second")))
    assert home.find_official() == tmp_path / "second"
    monkeypatch.setenv("STANPOOL_CMDSTAN", str(official(tmp_path / "first")))
    assert home.find_official() == tmp_path / "first"
    assert home.stan_version(tmp_path / "first") == "2.36.0"
    assert not home.is_embedded(tmp_path / "first")

    # What an earlier ensure() put there is looked up anew.
    monkeypatch.delenv("STANPOOL_CMDSTAN")
    monkeypatch.setenv("CMDSTAN", str(folder / "engines" / "removed"))
    assert home.find_official() == installed

    monkeypatch.setenv("STANPOOL_CMDSTAN", str(tmp_path / "nowhere"))
    with pytest.raises(EngineError, match=r"STANPOOL_CMDSTAN=.*has no 'makefile'"):
        home.find_official()
    monkeypatch.setenv("STANPOOL_ENGINE", "embedded")
    assert home.find_official() is None


def test_an_installed_cmdstan_without_make_is_passed_over(
    folder, tmp_path, monkeypatch, path_without
):
    monkeypatch.delenv("STANPOOL_ENGINE")
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".cmdstan" / "cmdstan-2.36.0"
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "stanc").touch()
    path_without("make")
    assert home.find_official() is None


def test_pip_is_found_where_the_environment_has_none(monkeypatch):
    find = wheel.PathFinder.find_spec
    hidden = {"pip"}
    finder = SimpleNamespace(
        find_spec=lambda name, path: None if name in hidden else find(name, path)
    )
    monkeypatch.setattr(wheel, "PathFinder", finder)
    bundled = wheel.pip_command()
    said = subprocess.run([*bundled, "--version"], capture_output=True, text=True)
    assert said.stdout.startswith("pip "), bundled

    hidden.add("ensurepip")
    monkeypatch.setattr(wheel.shutil, "which", lambda name: f"/tools/{name}")
    assert wheel.pip_command() == ["/tools/uv", "tool", "run", "pip"]
    monkeypatch.setattr(wheel.shutil, "which", lambda name: None)
    with pytest.raises(EngineError, match=r"(?s)no pip.*--wheel FILE"):
        wheel.pip_command()


def test_uvs_index_reaches_pip(monkeypatch):
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "file:///here")
    assert wheel._pip_environment()["PIP_INDEX_URL"] == "file:///here"
    monkeypatch.setenv("PIP_INDEX_URL", "file:///there")
    assert "PIP_INDEX_URL" not in wheel._pip_environment()


def test_what_programs_with_threads_share_is_compiled_once(source, folder, tmp_path):
    ready = embedded.set_up(progress=False, wheels=list(source.glob("*.whl")))
    targets = [tmp_path / name for name in ("one", "two", "three")]
    for target in targets:
        target.with_suffix(".stan").write_text(target.name)

    with ThreadPoolExecutor() as pool:
        said = list(
            pool.map(lambda t: _make(ready, "make", "STAN_THREADS=TRUE", t), targets)
        )

    assert all(target.exists() for target in targets), said
    assert sum("what all programs share" in console for console in said) == 1
    assert _built(ready) == ["plain", "threads"]


def test_a_killed_build_for_threads_is_taken_over(source, folder, tmp_path):
    ready = embedded.set_up(progress=False, wheels=list(source.glob("*.whl")))
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True)
    number = dead.stdout.strip()
    (ready / "build" / ".threads.owner").symlink_to(number)
    (ready / "build" / f".threads.partial-{number}").mkdir()

    target = _program(tmp_path)
    said = _make(ready, "make", "STAN_THREADS=TRUE", target)

    assert target.exists(), said
    assert _built(ready) == ["plain", "threads"]


WHEEL = "wheels/httpstan-4.17.0"
STANC = f"{WHEEL}/httpstan/stanc"
INCLUDE = f"{WHEEL}/httpstan/include"
LIBRARY = f"{WHEEL}/httpstan/lib/libtbb.so"
HEADER = "stan/model/model_header.hpp"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _alter(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def _lose_mode(path: Path) -> None:
    path.chmod(0o644)


def _lead_nowhere(path: Path) -> None:
    _remove(path)
    path.symlink_to(path.with_name("nowhere"))


@pytest.fixture
def engine(ready, folder, copied):
    """Return an engine in a cache of its own: a copy of one that is set up."""
    shutil.copytree(ready.parent.parent, folder, symlinks=True)
    return folder / "engines" / ready.name


def _answer(executable: Path) -> str:
    return subprocess.run(
        [executable], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (STANC, _remove),
        (STANC, _empty),
        (STANC, _alter),
        (STANC, _lose_mode),
        (LIBRARY, _remove),
        (LIBRARY, _alter),
        (f"{INCLUDE}/{HEADER}", _remove),
        (f"{INCLUDE}/boost", _remove),
        (f"{WHEEL}/contents.json", _empty),
        ("HOME/engine.json", _remove),
        ("HOME/engine.json", _empty),
        ("HOME/engine.json", _alter),
        ("HOME/bin/make", _empty),
        ("HOME/bin/stanc", _remove),
        ("HOME/bin/stanc", _lead_nowhere),
        ("HOME/lib", _lead_nowhere),
        ("HOME/makefile", _remove),
        ("HOME/make/compiler", _alter),
        ("HOME/driver/main.cpp", _alter),
        ("HOME/build/plain/main.o", _remove),
        ("HOME/build/plain/main.o", _empty),
        (f"HOME/build/plain/{HEADER}.gch/header", _alter),
    ],
)
def test_damage_to_an_engine_is_found_by_doctor_and_when_it_is_used(
    folder, engine, monkeypatch, name, damage
):
    asked = []
    monkeypatch.setattr(embedded, "publish", lambda path, *_, **__: asked.append(path))
    embedded.set_up(progress=False)
    assert upkeep.doctor().ok
    assert asked == []
    damage(folder / name.replace("HOME", str(engine)))
    (problem, *_) = upkeep.doctor().problems
    assert name.rpartition("/")[2] in problem or "list of its files" in problem
    embedded.set_up(progress=False)
    assert len(asked) == 3  # all parts that may have to be made again


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (STANC, _empty),
        (WHEEL, _lead_nowhere),
        ("wheels", _lead_nowhere),
        ("HOME/engine.json", _empty),
        ("HOME/include", Path.unlink),
        ("HOME/build", _remove),
        ("HOME", _lead_nowhere),
        ("engines", _lead_nowhere),
    ],
)
def test_a_damaged_engine_mends_itself_when_a_program_is_compiled(
    folder, engine, name, damage
):
    damage(folder / name.replace("HOME", str(engine)))
    executable = compile_program("42", name="program", progress=False)
    assert _answer(executable) == "42 of program.stan\n"
    assert upkeep.doctor().ok
    assert not _leftovers(folder)


def test_a_damaged_description_costs_no_compilation(engine, capsys):
    (engine / "engine.json").write_text("{")
    kept = (engine / "build" / "plain" / "main.o").stat().st_ino
    assert home.identity(home.ensure()) in engine.name
    assert "Compiling" not in capsys.readouterr().err
    assert (engine / "build" / "plain" / "main.o").stat().st_ino == kept


def test_what_a_mended_wheel_went_into_is_compiled_again(folder, engine, capsys):
    (folder / STANC).unlink()
    embedded.set_up()
    said = capsys.readouterr().err
    assert "Fetching httpstan" in said
    assert "Compiling Stan's headers" in said


def _flip(path: Path) -> None:
    """Alter a byte as a bad disk does: nothing that a folder's listing shows."""
    before = path.stat()
    _alter(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("name", [LIBRARY, f"HOME/build/plain/{HEADER}.gch/header"])
def test_a_flipped_bit_is_found_by_doctor_and_mended_by_force_or_clean(
    folder, engine, name
):
    for mend in (lambda: embedded.set_up(force=True, progress=False), upkeep.clean):
        _flip(folder / name.replace("HOME", str(engine)))
        for problem in upkeep.doctor().problems:
            assert "was altered" in problem
            assert "stanpool setup --force" in problem
        assert not upkeep.doctor().ok
        mend()
        assert embedded.is_ready(embedded.set_up(progress=False))
        assert upkeep.doctor().ok


def _forget_lists(folder: Path) -> None:
    """Make a cache as stanpool 0.1 left it."""
    for path in folder.rglob("contents.json"):
        path.unlink()


def test_an_older_cache_is_taken_over_as_it_is(folder, engine, capsys, monkeypatch):
    asked = {"source": "42", "name": "program"}
    executable = compile_program(**asked)
    capsys.readouterr()
    _forget_lists(folder)
    assert upkeep.doctor().ok
    assert compile_program(**asked) == executable
    said = capsys.readouterr().err
    assert "Fetching" not in said
    assert "Compiling" not in said
    for known in (folder / WHEEL, engine, engine / "build/plain", executable.parent):
        assert contents.was_adopted(known)
    # What is known from then on is kept, but not trusted where it counts.
    assert embedded.set_up(force=True) == engine
    assert "Fetching httpstan" in capsys.readouterr().err


def test_an_older_cache_that_lacks_something_is_not(folder, engine):
    executable = compile_program("42", name="program", progress=False)
    _forget_lists(folder)
    _empty(executable)
    _empty(folder / STANC)
    _empty(engine / "build" / "plain" / "main.o")
    again = compile_program("42", name="program", progress=False)
    assert _answer(again) == "42 of program.stan\n"


@pytest.mark.parametrize("damage", [_remove, _empty, _alter, _flip, _lose_mode])
def test_a_damaged_program_is_compiled_again(engine, damage):
    executable = compile_program("42", name="program", progress=False)
    inode = executable.stat().st_ino
    damage(executable)
    (problem,) = upkeep.doctor().problems
    assert "compiles it again" in problem
    assert compile_program("42", name="program", progress=False) == executable
    assert _answer(executable) == "42 of program.stan\n"
    assert upkeep.doctor().ok
    assert executable.stat().st_ino != inode


def test_killed_and_concurrent_compilations_end_in_one_good_program(
    engine, folder, source
):
    def ask() -> subprocess.Popen[str]:
        return miniature_engine.start_set_up(
            source, {"STANPOOL_CACHE": str(folder)}, code=miniature_engine.COMPILE
        )

    killed = ask()
    end = time.monotonic() + 60
    while not list(folder.glob("programs/.*.partial-*")):
        assert time.monotonic() < end
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    assert not list(folder.glob("programs/*/program"))

    askers = [ask(), ask()]
    answers = [asker.communicate(timeout=120) for asker in askers]
    assert [asker.returncode for asker in askers] == [0, 0], answers
    (executable,) = {answer.strip() for answer, _ in answers}
    assert sorted("Compiling program" in said for _, said in answers) == [False, True]
    assert _answer(Path(executable)) == "42 slowly of program.stan\n"
    left = {path.name for path in folder.glob("programs/*")}
    assert not {name for name in left if "partial" in name}


def test_all_bits_of_a_program_count(engine):
    executable = compile_program("42", name="program", progress=False)
    content, before = executable.read_bytes(), executable.stat()
    folder = executable.parent
    for position in range(0, len(content), len(content) // 25):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        executable.write_bytes(flipped)
        os.utime(executable, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert not cache.Kind(full=True).is_sound(folder), position
    executable.write_bytes(content)
    assert cache.Kind(full=True).is_sound(folder)


def test_what_threads_share_is_mended_too(folder, engine, tmp_path):
    asked = {"source": "42", "name": "program", "threads": True, "progress": False}
    compile_program(**asked)
    for _ in range(2):
        compile_program(**{**asked, "source": "43"})  # lists what make has compiled
        _empty(engine / "build" / "threads" / "main.o")
        shutil.rmtree(folder / "programs")
        executable = compile_program(**asked)
        assert _answer(executable) == "42 of program.stan\n"


def test_pip_and_its_modules_are_not_those_of_the_current_folder(
    folder, source, tmp_path
):
    """A cloned repository may have a pip.py, and a user a random.py."""
    current = tmp_path / "current"
    current.mkdir()
    for name in ("pip", "random", "json", "ensurepip", "tempfile"):
        (current / f"{name}.py").write_text(
            f"import pathlib; pathlib.Path({str(current)!r}, 'ran').touch(); 1 / 0"
        )
    process = miniature_engine.start_set_up(
        source, {"STANPOOL_CACHE": str(folder)}, cwd=current
    )
    said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert not (current / "ran").exists()


def test_a_pip_in_the_current_folder_is_none(tmp_path, monkeypatch):
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path)])
    assert not wheel._has_pip()
    monkeypatch.chdir("/")
    assert wheel._has_pip()


def test_a_compiler_with_an_open_quote_is_named(folder, monkeypatch):
    monkeypatch.setenv("CXX", "'g++")
    (problem,) = upkeep.doctor().problems
    assert "CXX=" in problem
    assert "closing quotation" in problem
    for ask in (embedded.set_up, toolchain.find_compiler, upkeep.clean):
        with pytest.raises(EngineError, match="unset it"):
            ask()


def _built(ready: Path) -> list[str]:
    return sorted(p.name for p in (ready / "build").iterdir() if p.suffix != ".lock")


def _cmdstan_of_windows(path: Path) -> Path:
    (path / "bin").mkdir(parents=True)
    (path / "makefile").write_text("CMDSTAN_VERSION := 2.36.0\n")
    (path / "bin" / "stanc.exe").write_text("MZ")
    return path


def test_a_cmdstan_of_windows_is_found_by_its_names(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("STANPOOL_ENGINE")
    monkeypatch.setenv("HOME", str(tmp_path))
    tools = tmp_path / "RTools40" / "mingw64" / "bin"
    tools.mkdir(parents=True)
    for name in ("mingw32-make", "g++"):
        (tools / name).write_text("#!/bin/sh\necho g++ 8.3.0\n")
        (tools / name).chmod(0o755)
    (tmp_path / "RTools40" / "usr" / "bin").mkdir(parents=True)
    installed = _cmdstan_of_windows(tmp_path / ".cmdstan" / "cmdstan-2.36.0")
    assert home.find_official() is None  # here it would be bin/stanc

    like_windows(monkeypatch)
    monkeypatch.setattr(toolchain, "_compiler", toolchain._compiler.__wrapped__)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("CMDSTAN_TOOLCHAIN", str(tmp_path / "RTools40"))
    # Windows separates by semicolons what is separated by colons here.
    monkeypatch.setattr(
        "cmdstanpy.utils.cxx_toolchain_path",
        lambda: monkeypatch.setenv("PATH", f"{tools}:/bin"),
    )
    assert home.find_official() == installed
    assert toolchain.find_make() == str(tools / "mingw32-make")
    assert toolchain.find_compiler().version == "g++ 8.3.0"
    assert home.why_no_cmdstan() == ""
    before = home.identity(installed)
    (installed / "bin" / "stanc.exe").write_text("another")
    assert home.identity(installed) != before


def test_libraries_of_windows_are_on_the_path_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", r"C:\Windows")
    monkeypatch.delenv("STAN_TBB", raising=False)
    for _ in range(2):
        home._put_libraries_on_path(tmp_path)
    first, *others = os.environ["PATH"].split(";")
    assert first.endswith("tbb")
    assert others == [r"C:\Windows"]


def test_a_compiler_of_windows_may_be_named_by_its_path(monkeypatch):
    like_windows(monkeypatch)
    words = toolchain._words(r'"C:\Program Files\mingw\g++.exe" -O2 -march=native')
    assert words == (r"C:\Program Files\mingw\g++.exe", "-O2", "-march=native")


def test_where_nothing_can_be_compiled_the_message_says_what_to_do(
    folder, tmp_path, monkeypatch
):
    monkeypatch.delenv("STANPOOL_ENGINE")
    monkeypatch.setenv("HOME", str(tmp_path))
    like_windows(monkeypatch)
    monkeypatch.setattr(wheel.platform, "machine", lambda: "AMD64")
    problem = home.why_no_cmdstan()
    assert "does not exist for Windows on AMD64" in problem
    assert "`stanpool setup --official`" in problem
    assert "engine='stanli'" in problem
    report = str(upkeep.doctor())
    assert "PROBLEM" in report


@pytest.mark.parametrize("name", ["con", "NUL", "aux", "COM1", "lpt9"])
def test_names_of_devices_name_no_program_of_windows(name, monkeypatch):
    check = sys.modules["stanpool.engine.cmdstan.compile"]._check_name
    check(name)
    like_windows(monkeypatch)
    check(f"{name}_model")
    with pytest.raises(SpecError, match="cannot name a program"):
        check(name)


def test_what_setting_up_and_compiling_took_is_known_afterwards(folder):
    whats = (timings.SETTING_UP, timings.COMPILING)
    assert {timings.known(each).how for each in whats} == {
        "as measured on another machine"
    }
    start = time.perf_counter()
    for _ in range(2):  # the second time there is nothing to do
        embedded.set_up(progress=False)
        compile_program("42", name="program", progress=False)
    seconds = time.perf_counter() - start
    kept = timings._kept()
    assert {what: len(kept[what]) for what in kept} == dict.fromkeys(whats, 1)
    assert 0.2 * seconds < sum(timings.known(each).value for each in whats) < seconds
    # A second in which the compiler waits, as for a core, is none that it takes.
    start = time.perf_counter()
    compile_program("42 slowly", name="program", progress=False)
    seconds = time.perf_counter() - start
    assert 0 < timings._kept()[timings.COMPILING][-1] < seconds - 0.9
    # The median of the last five; what cannot be read is not known.
    for value in (1.0, 7.0, 7.0, 8.0, 9.0, float("nan"), 0.0):
        timings.remember(timings.COMPILING, value)
    assert timings.known(timings.COMPILING).value == 7.0
    gain = timings.gain_by("a likelihood")
    for value in (0.5, 0.5, 0.5):  # 2 is assumed
        timings.remember(gain, value)
    assert timings.known(gain).value == 0.5
    (folder / "timings.json").write_text('{"a": 1}')
    timings.remember(gain, 0.5)  # once, on a busy machine
    assert timings.known(gain).value == (0.5 + 2) / 2
    assert timings.known(timings.COMPILING).value == 25.0


def test_timings_that_cannot_be_kept_are_let_go(folder, monkeypatch):
    monkeypatch.setenv("STANPOOL_CACHE", os.devnull)
    timings.remember(timings.COMPILING, 1.0)
    assert timings.known(timings.COMPILING).value == 25.0
