"""The cache: complete or absent, one builder at a time, cleaned without harm."""

from __future__ import annotations

import threading
import time

import pytest
from filelock import FileLock

from stanpool.engine import cache, contents
from stanpool.errors import EngineError


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
