"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from stanpool.base.arguments import public
from stanpool.base.errors import StorageError
from stanpool.base.system import files
from stanpool.base.system.files import try_writing, write_text, writing
from stanpool.data.datasets import list_datasets


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.txt"
    with writing(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert [each.name for each in path.parent.iterdir()] == ["x.txt"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space"), KeyboardInterrupt()]
)
def test_what_was_there_stays_if_writing_fails(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def fail() -> None:
        with writing(path) as file:
            file.write(b"half")
            raise error

    is_full = isinstance(error, OSError)
    with pytest.raises(StorageError if is_full else KeyboardInterrupt) as refused:
        fail()
    if is_full:
        refused.match(r"cannot write '.*x\.txt': no space\. .* MB are free there")
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.name == "nt", reason="permissions and links of POSIX")
def test_a_link_stays_and_so_do_permissions(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_text(link, "né")
    assert link.is_symlink()
    assert target.read_text("utf-8") == "né"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="pipes with names")
def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try_writing(pipe)
    write_text(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)


@pytest.mark.parametrize("write", [try_writing, lambda path: write_text(path, "x")])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, write: object) -> None:
    assert callable(write)
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "x", tmp_path / ("x" * 300) / "y"):
        with pytest.raises(StorageError, match=r"cannot write .* Choose another place"):
            write(path)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_trial_leaves_nothing(tmp_path: Path) -> None:
    try_writing(tmp_path / "a" / "b" / "x.html")
    assert list(tmp_path.iterdir()) == []


def test_folders_without_sync_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    files.sync_folder(tmp_path)


def test_an_installation_without_its_folders_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PACKAGE", tmp_path / "stanpool")
    monkeypatch.setattr(files, "_CHECKOUT", tmp_path)
    with pytest.raises(StorageError, match=r"'data' is neither .* Install stanpool ag"):
        list_datasets()


def test_what_the_system_refuses_is_said_without_advice_that_may_be_wrong(
    tmp_path: Path,
) -> None:
    @public
    def study() -> None:
        (tmp_path / "gone").read_text()

    with pytest.raises(StorageError, match=r"study\(\): No such file .*gone'\. See wh"):
        study()
