"""The cache: complete or absent, one builder at a time, cleaned without harm."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from stanpool.base.errors import EngineError
from stanpool.engine.install import cache, contents, trust


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STANPOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _fill(folder):
    (folder / "content").write_text("x" * 1000)


def test_the_cache_is_where_the_user_wants_it(folder, monkeypatch):
    assert cache.cache_folder() == folder
    monkeypatch.setenv("STANPOOL_CACHE", "~/elsewhere")
    monkeypatch.setenv("HOME", str(folder))
    assert cache.cache_folder() == folder / "elsewhere"
    monkeypatch.delenv("STANPOOL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "xdg"))
    assert cache.cache_folder().name == "stanpool"


def test_publish_builds_once(folder):
    target = folder / "programs" / "one"
    assert cache.publish(target, _fill) == target
    assert (target / "content").exists()
    cache.publish(target, lambda _: pytest.fail("built twice"))


def test_a_failed_build_leaves_nothing(folder):
    def fail(partial):
        _fill(partial)
        raise ValueError("no")

    target = folder / "programs" / "one"
    with pytest.raises(ValueError, match="no"):
        cache.publish(target, fail)
    assert [p.name for p in target.parent.iterdir()] == [".one.lock"]


def test_what_a_dead_builder_left_is_removed(folder):
    leftover = folder / "programs" / ".one.partial-dead"
    leftover.mkdir(parents=True)
    cache.publish(folder / "programs" / "one", _fill)
    assert not leftover.exists()


def test_what_outlives_a_dead_builder_is_removed(folder):
    target = folder / "wheels" / "one"
    left = target.with_name(".one.partial-dead")

    def build(partial):
        left.mkdir()  # as by a download whose folder was removed before it began
        _fill(partial)

    cache.publish(target, build)
    assert not left.exists()


def test_the_second_waits_for_the_first(folder):
    target = folder / "programs" / "one"
    building, waited = threading.Event(), []

    def build(partial):
        building.set()
        time.sleep(0.3)
        _fill(partial)

    first = threading.Thread(target=cache.publish, args=(target, build))
    first.start()
    building.wait()
    cache.publish(
        target, lambda _: pytest.fail("built twice"), on_wait=lambda: waited.append(1)
    )
    first.join()
    assert waited == [1]
    assert (target / "content").exists()


def test_sizes_and_sweeping(folder):
    for name in ("one", "two"):
        cache.publish(folder / "programs" / name, _fill)
    cache.publish(folder / "engines" / "old", _fill)
    cache.publish(folder / "engines" / "current", _fill)
    each = 1000 + contents.list_of(folder / "programs" / "one").stat().st_size
    total = {"wheels": 0, "engines": 2 * each, "programs": 2 * each}
    assert cache.cache_size() == total

    expected = total | {"engines": each}
    assert cache.sweep(keep={"current"}, dry_run=True) == expected
    assert cache.cache_size() == total
    assert cache.sweep(keep={"current"}) == expected
    assert cache.cache_size() == {"wheels": 0, "engines": each, "programs": 0}


def test_sweeping_leaves_what_is_being_built(folder):
    busy = cache.publish(folder / "programs" / "busy", _fill)
    with FileLock(cache._lock_file(busy)):
        cache.sweep()
    assert busy.exists()
    cache.sweep()
    assert not busy.exists()


def test_a_read_only_cache_that_is_complete_can_be_used(folder, monkeypatch):
    target = cache.publish(folder / "programs" / "one", _fill)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache.tempfile, "mkdtemp", refuse)
    assert cache.publish(target, _fill) == target
    with pytest.raises(EngineError, match=r"Permission denied.*STANPOOL_CACHE"):
        cache.publish(folder / "programs" / "two", _fill)
    (target / "content").unlink()
    with pytest.raises(EngineError, match=r"one' is damaged, 'content' is missing; .*"):
        cache.publish(target, _fill)


def _alter(path):
    """Change a byte and nothing else that a folder's listing shows."""
    before = path.stat()
    path.write_bytes(b"y" + path.read_bytes()[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _lead_nowhere(target):
    shutil.rmtree(target)
    target.symlink_to(target.with_name("nowhere"))


def _become_a_file(target):
    shutil.rmtree(target)
    target.write_text("a file")


DAMAGES = {
    "missing": lambda target: (target / "content").unlink(),
    "cut": lambda target: (target / "content").write_text("x" * 999),
    "empty": lambda target: (target / "content").write_text(""),
    "a bit": lambda target: _alter(target / "content"),
    "a folder": lambda target: (
        (target / "content").unlink(),
        (target / "content").mkdir(),
    ),
    "a loop": lambda target: (
        (target / "content").unlink(),
        (target / "content").symlink_to("content"),
    ),
    "no list": lambda target: contents.list_of(target).unlink(),
    "an empty list": lambda target: contents.list_of(target).write_text(""),
    "another list": lambda target: contents.list_of(target).write_text("[1]"),
    "a list of others": lambda target: contents.list_of(target).write_text(
        '{"files": {"content": [1000, "x"]}}'
    ),
    "no text": lambda target: contents.list_of(target).write_bytes(bytes(range(256))),
    "a link that leads nowhere": _lead_nowhere,
    "a file": _become_a_file,
    "for everybody": lambda target: (target / "content").chmod(0o666),
}
TO_THE_BIT = cache.Kind(full=True)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_built_again_once(folder, damage):
    target = folder / "programs" / "one"
    cache.publish(target, _fill, kind=TO_THE_BIT)
    damage(target)
    assert not TO_THE_BIT.is_sound(target)
    cache.publish(target, _fill, kind=TO_THE_BIT)
    assert (target / "content").read_text() == "x" * 1000
    cache.publish(target, lambda _: pytest.fail("built twice"), kind=TO_THE_BIT)
    left = {path.name for path in target.parent.iterdir()}
    assert left == {"one", ".one.lock"}


def test_a_failed_repair_leaves_what_was_there(folder):
    target = cache.publish(folder / "wheels" / "one", _fill)
    (target / "content").write_text("cut")

    def fail(partial):
        raise EngineError("no network")

    with pytest.raises(EngineError, match="no network"):
        cache.publish(target, fail)
    assert (target / "content").read_text() == "cut"
    assert not list(target.parent.glob("*.partial*"))


def test_two_that_find_the_same_damage_build_once(folder):
    target = cache.publish(folder / "programs" / "one", _fill)
    (target / "content").unlink()
    built = []

    def build(partial):
        built.append(partial)
        time.sleep(0.2)
        _fill(partial)

    asking = [
        threading.Thread(target=cache.publish, args=(target, build)) for _ in range(3)
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert len(built) == 1
    assert (target / "content").read_text() == "x" * 1000


def test_another_time_is_no_damage_but_another_content_is(folder):
    target = cache.publish(folder / "engines" / "one", _fill)
    os.utime(target / "content", (1, 1))
    assert cache.Kind().is_sound(target)
    (target / "content").write_text("y" * 1000)
    assert list(contents.faults(target)) == ["'content' was altered"]


def test_a_bit_that_flipped_on_the_disk_is_found_by_whoever_reads_all(folder):
    target = cache.publish(folder / "engines" / "one", _fill)
    _alter(target / "content")
    assert not any(contents.faults(target))
    assert list(contents.faults(target, full=True)) == ["'content' was altered"]


def _unlisted(target):
    target.mkdir(parents=True)
    _fill(target)
    return target


def test_folders_of_an_older_stanpool_are_listed_once_or_built(folder):
    whole = cache.Kind(can_adopt=lambda found: (found / "content").exists())
    good, bad = (_unlisted(folder / "programs" / name) for name in ("good", "bad"))
    (bad / "content").unlink()
    cache.publish(good, lambda _: pytest.fail("built again"), kind=whole)
    assert contents.was_adopted(good)
    (good / "content").write_text("cut")
    for target in (good, bad):
        cache.publish(target, _fill, kind=whole)
        assert (target / "content").read_text() == "x" * 1000
        assert not contents.was_adopted(target)


def test_an_older_read_only_cache_is_used_as_it_is(folder, monkeypatch):
    target = _unlisted(folder / "programs" / "one")
    monkeypatch.setattr(cache.os, "access", lambda _, mode, **__: mode != os.W_OK)
    kind = cache.Kind(can_adopt=lambda found: True)
    cache.publish(target, lambda _: pytest.fail("built again"), kind=kind)
    assert [path.name for path in target.iterdir()] == ["content"]


@pytest.mark.parametrize("mask", [0, 0o002, 0o022, 0o077])
def test_nobody_else_can_write_whatever_the_umask(folder, mask):
    def build(partial):
        (partial / "below").mkdir()
        _fill(partial / "below")

    before = os.umask(mask)
    try:
        target = cache.publish(folder / "deep" / "programs" / "one", build)
    finally:
        os.umask(before)
    for made in (folder, folder / "deep", target.parent, target):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700, made
    for path in target.rglob("*"):
        assert not path.stat().st_mode & 0o022, path


def test_what_the_group_could_write_is_the_users_alone_from_now_on(folder):
    target = cache.publish(folder / "programs" / "one", _fill)
    loose = [folder, target.parent, target, target / "content"]
    for path in loose:
        path.chmod(path.stat().st_mode | stat.S_IWGRP)
    cache.publish(target, lambda _: pytest.fail("built again"))
    assert not any(path.stat().st_mode & 0o022 for path in loose)


@pytest.mark.parametrize("name", [".", "programs", "programs/one/content"])
def test_what_belongs_to_somebody_else_is_refused_by_name(folder, monkeypatch, name):
    target = cache.publish(folder / "programs" / "one", _fill)
    foreign = (folder / name).stat()
    owner = foreign.st_uid

    def distrust(path, status, found=trust.distrust):
        # As if this file were another user's: one that is neither we nor root.
        with monkeypatch.context() as patch:
            if os.path.samestat(status, foreign):
                patch.setattr(trust, "_ROOT", owner + 1)
                patch.setattr(trust.os, "geteuid", lambda: owner + 1)
            return found(path, status)

    for module in (trust, contents, cache):
        monkeypatch.setattr(module, "distrust", distrust)
    with pytest.raises(EngineError, match="belongs to another user") as caught:
        cache.publish(target, _fill)
    for words in (str(folder / name), f"user {owner}", "rw", "chown", "STANPOOL_CACHE"):
        assert words in str(caught.value)


def test_what_stays_open_to_others_is_refused(folder, monkeypatch):
    """As on file systems that keep no modes, or in a cache of root's."""
    target = cache.publish(folder / "programs" / "one", _fill)
    (target / "content").chmod(0o664)
    monkeypatch.setattr(trust.os, "chmod", lambda *_: None)
    with pytest.raises(EngineError, match=r"by other users.*rw-rw-r--.*chmod -R go-w"):
        cache.publish(target, _fill)


def test_a_cache_that_root_shares_is_fine_and_folders_like_tmp_are(folder, monkeypatch):
    target = cache.publish(folder / "programs" / "one", _fill)
    owner = target.stat().st_uid
    monkeypatch.setattr(trust, "_ROOT", owner)
    monkeypatch.setattr(trust.os, "geteuid", lambda: owner + 1)
    folder.chmod(0o1777)
    cache.publish(target, lambda _: pytest.fail("built again"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777


def test_a_cache_that_may_not_be_read_is_named(folder):
    cache.publish(folder / "programs" / "one", _fill)
    folder.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # who may read everything
            os.seteuid(65534)
        with pytest.raises(EngineError, match=r"cannot read .*cache'.*chmod -R a\+rX"):
            cache.cache_folder()
    finally:
        os.seteuid(user)
        folder.chmod(0o700)


def test_what_is_added_to_a_shared_cache_is_as_open_as_that(folder):
    cache.publish(folder / "programs" / "one", _fill)
    (folder / "programs").chmod(0o777)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "check_folders", lambda *_, **__: None)
        target = cache.publish(folder / "programs" / "two", _fill)
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


def test_a_link_whose_folder_was_swept_away_gets_it_again(folder, tmp_path):
    folder.mkdir()
    (folder / "programs").symlink_to(tmp_path / "scratch" / "mine")
    target = cache.publish(folder / "programs" / "one", _fill)
    assert (tmp_path / "scratch" / "mine" / "one" / "content").exists()
    assert cache.remove(target) > 0
    assert not target.exists()


def test_links_are_removed_and_what_they_lead_to_is_not(folder, tmp_path):
    elsewhere = _unlisted(tmp_path / "elsewhere")
    (folder / "programs").mkdir(parents=True)
    (folder / "programs" / "link").symlink_to(elsewhere)
    (folder / "programs" / "dangling").symlink_to(tmp_path / "nowhere")
    cache.sweep()
    assert {path.suffix for path in (folder / "programs").iterdir()} == {".lock"}
    assert (elsewhere / "content").exists()


def _no_home(*_, **__):
    raise RuntimeError("could not determine the home directory")


@pytest.mark.parametrize(
    "answer", [_no_home, lambda *_, **__: Path("~/.cache/stanpool")]
)
def test_without_a_home_nothing_is_kept_in_the_current_folder(monkeypatch, answer):
    monkeypatch.delenv("STANPOOL_CACHE", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", answer)  # of two versions
    with pytest.raises(EngineError, match="HOME, or STANPOOL_CACHE"):
        cache.cache_folder()
    monkeypatch.setenv("STANPOOL_CACHE", "~nobody-of-this-name/cache")
    with pytest.raises(EngineError, match="STANPOOL_CACHE='~nobody"):
        cache.cache_folder()
