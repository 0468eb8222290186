"""Where the outbox goes while its disk fails. The disks here only say that they fail; tests/faults has ones that do."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from outboxes import Note, Time, became, happened

from edge.errors import OutboxError
from edge.outbox import stores
from edge.outbox.batch import Batch, Limits, Sources
from edge.outbox.opening import OpenStore, open_store
from edge.outbox.stores import Stores
from edge.record import Draft, Loss, Post, Priority, Stamp, uuid7

LIMITS = Limits(max_bytes=10_000_000, max_age_s=1e9)


def told(loss: Loss) -> Post:
    return Post("gap", Note(text=f"{loss.count} {loss.cause}"), priority=Priority.KEPT)


class Disk:
    """Fails when it is told to, with an error of its own."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.error: Exception | None = None
        monkeypatch.setattr(stores, "open_store", self._open)

    def _open(self, path: Path, *arguments: Any, **options: Any) -> OpenStore:
        if path == self.path and self.error is not None:
            raise OutboxError("the disk fails") from self.error
        opened = open_store(path, *arguments, **options)
        if path == self.path:
            commit = opened.store.commit
            opened.store.commit = lambda batch: self._commit(commit, batch)  # type: ignore[method-assign]
        return opened

    def _commit(self, commit: Callable[[Batch], None], batch: Batch) -> None:
        if self.error is not None:
            raise sqlite3.OperationalError("disk I/O error")
        commit(batch)


@pytest.fixture
def disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(path, monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    folder = tmp_path / "memory"
    folder.mkdir()
    return folder


Open = Callable[[], Stores]


@pytest.fixture
def open_stores(path: Path, memory: Path, time: Time) -> Open:
    sources = Sources(time.clock, time.monotonic, os.urandom, told)
    return lambda: Stores(path, LIMITS, sources, memory_bytes=1_000_000, memory=memory)


def batch(*posts: Post, losses: tuple[Loss, ...] = ()) -> Batch:
    ids = [uuid7(1e9 + index, os.urandom) for index in range(len(posts))]
    drafts = tuple(Draft((post,), (id_,), Stamp(1e9, 1.0)) for post, id_ in zip(posts, ids, strict=True))
    return Batch(drafts=drafts, losses=losses)


def words(opened: Stores) -> list[str]:
    return [json.loads(record.payload)["text"] for record in opened.current.reader.events(0, limit=1000)]


def in_trouble(opened: Stores, disk: Disk, time: Time) -> None:
    """Let the disk fail for long enough."""
    disk.error = OSError(errno.EIO, "no")
    with pytest.raises((sqlite3.Error, OutboxError)):
        opened.commit(batch(happened("first try")))
    time.monotonic_s += 3


def test_a_disk_that_fails_for_a_moment_is_waited_for(open_stores: Open, disk: Disk) -> None:
    opened = open_stores()
    disk.error = OSError(errno.EIO, "no")
    with pytest.raises(sqlite3.Error):
        opened.commit(batch(happened("one")))
    assert not opened.in_memory
    disk.error = None
    opened.commit(batch(happened("one")))
    assert opened.failure is None
    assert words(opened) == ["one"]
    opened.close()


def test_one_that_goes_on_failing_is_left_for_memory_and_returned_to(
    open_stores: Open, disk: Disk, time: Time, memory: Path
) -> None:
    opened = open_stores()
    opened.commit(batch(happened("on the disk")))
    epoch = opened.current.store.epoch
    in_trouble(opened, disk, time)
    opened.commit(batch(happened("in memory"), became("now")))
    assert opened.in_memory
    assert opened.failure is not None
    assert opened.current.store.epoch != epoch
    assert words(opened) == ["in memory"]
    disk.error = None
    time.monotonic_s += 10
    opened.commit(batch(happened("after")))
    assert not opened.in_memory
    assert opened.failure is None
    assert opened.current.store.epoch == epoch
    assert words(opened) == ["on the disk", "in memory", "after"]
    assert [record.topic for record in opened.current.reader.states(only_dirty=False)] == ["gate/state"]
    assert opened.current.store.ledger.committed == 4
    assert not list(memory.iterdir())
    opened.close()


def test_what_was_lost_and_refused_in_memory_is_counted_once_on_the_disk(
    open_stores: Open, disk: Disk, time: Time
) -> None:
    opened = open_stores()
    in_trouble(opened, disk, time)
    opened.commit(batch(happened("one"), happened("two"), losses=(Loss("waiting", 5, 1.0, 2.0),)))
    opened.commit(batch(losses=(Loss("waiting", 2, 3.0, 4.0),)))  # too soon to be told
    [one, two, _] = opened.current.reader.events(0, limit=10)
    opened.commit(Batch(delivered=(one,), refused=((two, "no"),)))
    disk.error = None
    time.monotonic_s += 20
    opened.commit(Batch())
    ledger = opened.current.store.ledger
    assert (ledger.dropped_waiting, ledger.delivered, ledger.refused) == (7, 1, 1)
    assert words(opened) == ["5 waiting", "2 waiting"]
    assert ledger.pending == 2
    [letter] = opened.current.reader.dead_letters(0, limit=10)
    assert letter.reason == "no"
    opened.close()


def test_a_start_on_a_failing_disk_is_a_start_in_memory_and_lasts_over_restarts(
    open_stores: Open, disk: Disk, time: Time
) -> None:
    disk.error = OSError(errno.ENOSPC, "full")
    for word in ("one", "two"):
        opened = open_stores()
        assert opened.in_memory
        opened.commit(batch(happened(word)))
        opened.close()
    disk.error = None
    opened = open_stores()
    assert not opened.in_memory
    assert words(opened) == ["one", "two"]
    opened.close()


def test_a_mistake_that_a_person_must_mend_is_no_reason_for_memory(open_stores: Open, disk: Disk) -> None:
    disk.error = OSError(errno.EACCES, "not yours")
    with pytest.raises(OutboxError):
        open_stores()


def test_a_folder_of_somebody_else_is_not_used(open_stores: Open, disk: Disk, memory: Path) -> None:
    disk.error = OSError(errno.EROFS, "read-only")
    open_stores().close()
    [folder] = memory.iterdir()
    folder.chmod(0o777)
    with pytest.raises(OutboxError, match="belongs to somebody else"):
        open_stores()


def test_a_service_keeps_it_where_systemd_says() -> None:
    assert stores.memory_folder({"RUNTIME_DIRECTORY": "/run/sightpost:/run/more"}) == Path("/run/sightpost")
    assert stores.memory_folder({}) == stores.MEMORY


def test_memory_that_somebody_has_tidied_away_is_returned_from_all_the_same(
    open_stores: Open, disk: Disk, time: Time, memory: Path
) -> None:
    opened = open_stores()
    in_trouble(opened, disk, time)
    opened.commit(batch(happened("in memory")))
    assert opened.in_memory
    [folder] = memory.iterdir()
    shutil.rmtree(folder)  # as logind does with a user's at the end of a session
    disk.error = None
    time.monotonic_s += 10
    opened.commit(batch(happened("on the disk")))
    assert not opened.in_memory
    assert words(opened)[-2:] == ["in memory", "on the disk"]
    opened.close()


def test_what_came_after_a_return_that_only_seemed_to_fail_is_not_taken_for_done(
    open_stores: Open, disk: Disk, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_stores()
    in_trouble(opened, disk, time)
    opened.commit(batch(happened("one")))
    disk.error = None

    def written_and_denied(commit: Callable[[Batch], None], moved: Batch) -> None:
        commit(moved)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(disk, "_commit", written_and_denied)
    time.monotonic_s += 10
    opened.commit(batch(happened("two")))
    assert opened.in_memory
    monkeypatch.undo()
    time.monotonic_s += 10
    opened.commit(batch(happened("three")))
    assert set(words(opened)) == {"one", "two", "three"}
    opened.close()
