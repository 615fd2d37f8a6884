"""At any moment the old version of a folder counts, whole, or the new one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from stanpool.base.errors import DataError, NoFitError, PathTakenError
from stanpool.base.system import files
from stanpool.sampling.saving import versions
from stanpool.sampling.saving.versions import check_digests, new_version, read_manifest

NAMES = ("a.txt", "b.txt")
# An interrupt leaves some files for the collector of garbage to close.
UNCLOSED = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
TRACED = {versions.__file__, files.__file__}


def write(folder: Path, text: str, *, overwrite: bool = True) -> None:
    with new_version(
        folder, overwrite=overwrite, format_=2, names=NAMES, stanpool="1.0"
    ) as new:
        for name in NAMES:
            (new / name).write_text(text)


def read(folder: Path) -> str:
    """Return what all files of the version hold that counts."""
    manifest = read_manifest(folder, newest=2)
    check_digests(folder, manifest, NAMES)
    (text,) = {manifest.path(folder, name).read_text() for name in NAMES}
    return text


def is_clean(folder: Path) -> bool:
    """Whether there is only one version, and what the user put there."""
    found = {each.name for each in folder.iterdir()} - {"note.txt"}
    return found == {"manifest.json", read_manifest(folder, newest=2).folder}


class InterruptedAt:
    """Raises KeyboardInterrupt at a step of our code, as Ctrl-C may at any."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self._trace


def interrupted_everywhere(prepare: Callable[[Path], None], tmp_path: Path) -> None:
    """Interrupt writing at each step in turn, and look at what is left."""
    for step in count(1):
        folder = tmp_path / f"{step}.fit"
        prepare(folder)
        before = read(folder) if folder.exists() else None
        try:
            with InterruptedAt(step):
                write(folder, "new")
        except KeyboardInterrupt:
            pass
        else:
            break
        try:
            assert read(folder) in {before, "new"}
        except NoFitError:
            assert before is None
        write(folder, "next")
        assert read(folder) == "next"
        assert is_clean(folder)
        assert before is None or (folder / "note.txt").read_text() == "mine"
    assert step > 60


@pytest.fixture
def no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk, which takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@UNCLOSED
@pytest.mark.usefixtures("no_disk")
def test_an_interrupt_at_any_line_leaves_a_whole_version(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        write(folder, "old")
        (folder / "note.txt").write_text("mine")

    interrupted_everywhere(prepare, tmp_path)


@UNCLOSED
@pytest.mark.usefixtures("no_disk")
def test_an_interrupt_of_the_first_version_is_no_obstacle(tmp_path: Path) -> None:
    interrupted_everywhere(lambda _: None, tmp_path)


KILLED = """
import os, random, signal, sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_versions import read, write
folder = Path(sys.argv[1])
write(folder, "0" * 100_000)
for number in range(30):
    child = os.fork()
    if not child:
        for text in range(10**9):
            write(folder, str(text % 10) * 100_000)
    time.sleep(random.Random(number).uniform(0.001, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(read(folder)) == 100_000
write(folder, "last")
print(sorted(each.name[:6] for each in folder.iterdir()))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks")
def test_kills_leave_a_whole_version(tmp_path: Path) -> None:
    words = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "x.fit")]
    done = subprocess.run(
        [*words, str(Path(__file__).parent)], capture_output=True, text=True
    )
    assert done.stdout.strip() == "['manife', 'saved-']", done.stderr


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "x.fit"
    with ThreadPoolExecutor(8) as threads:
        done = [threads.submit(write, folder, str(text)) for text in range(24)]
        assert all(each.exception() is None for each in done)
    assert read(folder) in set(map(str, range(24)))
    assert is_clean(folder)


def test_all_is_on_the_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replaced = os.fsync, os.replace

    def synced(handle: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    def replaces(*paths: Any) -> None:
        done.append("counts")
        replaced(*paths)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaces)
    write(tmp_path / "x.fit", "new")
    at = done.index("counts")
    version = read_manifest(tmp_path / "x.fit", newest=2).folder
    assert {"manifest.json", version, "x.fit"} <= set(done[:at])
    assert done[at + 1 :] == ["x.fit"]


def test_an_error_leaves_the_old_version_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "x.fit", "old")
    for name in ("x.fit", "new/deep/y.fit"):
        with pytest.raises(TypeError):
            write(tmp_path / name, None)  # type: ignore[arg-type]
    assert read(tmp_path / "x.fit") == "old"
    assert is_clean(tmp_path / "x.fit")
    assert [each.name for each in tmp_path.iterdir()] == ["x.fit"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    for name, prepared in (("there", True), ("not_there_yet", False)):
        target, link = tmp_path / name, tmp_path / f"{name}.fit"
        if prepared:
            write(target, "old")
        link.symlink_to(target)
        write(link, "new")
        assert link.is_symlink()
        assert read(target) == read(link) == "new"


@pytest.mark.parametrize(
    "manifest",
    [
        '{"name": "my web app", "icons": []}',
        '{"format": 2, "sha256": {"other.txt": "0"}}',
        '{"format": true, "sha256": {}}',
        '{"format": 1, "sha256": {}, "folder": "../.."}',
        "[" * 10_000,
        "\xff",
        "",
    ],
)
def test_a_manifest_of_something_else_is_no_version(
    tmp_path: Path, manifest: str
) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "manifest.json").write_text(manifest, "latin-1")
    (folder / "thesis.docx").write_text("years of work")
    with pytest.raises(PathTakenError, match="Choose another path"):
        write(folder, "new")
    assert {each.name for each in folder.iterdir()} == {"manifest.json", "thesis.docx"}


@pytest.mark.parametrize("prepare", [Path.touch, Path.mkdir])
def test_what_is_no_version_is_refused(
    tmp_path: Path, prepare: Callable[[Path], None]
) -> None:
    path = tmp_path / "mine"
    prepare(path)
    if path.is_dir():
        (path / "a.txt").write_text("mine")
    with pytest.raises(PathTakenError, match="Choose another path"):
        write(path, "new")


def test_a_version_of_a_newer_format_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "x.fit"
    write(folder, "old")
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 3}))
    with pytest.raises(PathTakenError, match=r"format 3 by stanpool 1\.0"):
        write(folder, "new")
    with pytest.raises(DataError, match="Upgrade"):
        read_manifest(folder, newest=2)


def test_a_version_is_replaced_only_if_asked(tmp_path: Path) -> None:
    write(tmp_path / "x.fit", "old", overwrite=False)
    with pytest.raises(PathTakenError, match="overwrite=True"):
        write(tmp_path / "x.fit", "new", overwrite=False)
    assert read(tmp_path / "x.fit") == "old"


def test_what_a_user_put_into_a_version_stays(tmp_path: Path) -> None:
    folder = tmp_path / "x.fit"
    write(folder, "old")
    (note,) = (each / "note.txt" for each in folder.glob("saved-*"))
    note.write_text("mine")
    write(folder, "new")
    assert note.read_text() == "mine"
    assert read(folder) == "new"
