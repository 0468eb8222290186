"""Where the outbox is: in its file on the disk or, while that fails, in one in the computer's memory.

Cards die, and disks fill up. A device whose disk fails goes on to say what it sees, from a small store in memory with
an epoch of its own, and says that its disk fails. What the disk still holds waits there. When the disk works again,
what memory holds is moved to it.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import sqlite3
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.errors import OutboxError, OutboxInUseError
from edge.outbox import file
from edge.outbox.batch import Batch, Limits, Sources
from edge.outbox.opening import OpenStore, explain, open_store
from edge.record import Draft, Post

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edge.record import Record

logger = logging.getLogger(__name__)

MEMORY = Path("/dev/shm")  # noqa: S108  the folder in it is checked to be ours alone
_MOVE_AFTER_S = 2.0
"""A disk that fails for a moment is waited for."""
RETURN_S = 3.0
"""How often it is seen whether the disk works again."""
_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def memory_folder(environment: Mapping[str, str]) -> Path:
    """Say where to keep things in memory: in the folder that systemd makes for the service, if it does."""
    return Path(environment.get("RUNTIME_DIRECTORY", "").split(":")[0] or MEMORY)


class Stores:
    """The store that is written to now. For one thread, but for ``current`` under ``reading``.

    Attributes:
        current: the open store; replaced under ``reading``.
        failure: what is wrong with the disk right now.
    """

    def __init__(
        self, path: Path, limits: Limits, sources: Sources, *, memory_bytes: int, memory: Path = MEMORY
    ) -> None:
        """Open the file on the disk or, where the disk fails, the one in memory.

        Raises:
            OutboxError: another process uses it, nothing can be stored there for a reason that is not the disk's, or
                memory cannot be used either.
        """
        self.failure: Exception | None = None
        self.reading = threading.Lock()
        self._path = path
        self._limits = limits
        self._memory_limits = Limits(min(memory_bytes, limits.max_bytes), limits.max_age_s)
        self._sources = sources
        self._folder = memory / f"sightpost-{os.getuid()}-{hashlib.sha256(bytes(path.resolve())).hexdigest()[:16]}"
        self._locks: dict[Path, int] = {}
        self._failing_since_s = self._looked_s = float("-inf")
        self.in_memory = False
        try:
            self.current = self._open_anywhere()
        except BaseException:
            self._unlock()
            raise

    def commit(self, batch: Batch) -> None:
        """Write a batch wherever that is possible.

        Raises:
            sqlite3.Error, DamagedStoreError, OutboxError: nowhere, for now.
        """
        self._mend()
        try:
            self._commit(batch)
        except file.TROUBLE as error:
            self.note(error)
            if self.in_memory or not self._lasting:
                raise
            self._move()
            self._commit(batch)
        if not self.in_memory and self.failure is not None:
            self.failure = None
            logger.info("%s: works again", self._path)

    def note(self, error: Exception) -> None:
        """Note that the disk has failed."""
        if self.failure is None:
            self._failing_since_s = self._sources.monotonic()
        self.failure = error

    def close(self) -> None:
        """Close in order; what is in memory stays there, for the next start before the power goes."""
        with self.reading:
            self.current.reader.close()
        try:
            self.current.store.close()
        except sqlite3.Error as error:
            logger.warning("%s", explain(self._path, error))
        self._unlock()

    def _open_anywhere(self) -> OpenStore:
        try:
            disk = self._open_disk()
            try:
                self._absorb(disk)
            except BaseException:
                disk.abandon()
                raise
        except OutboxError as error:
            if not _is_disk_trouble(error, self._path):
                raise
            self.note(error)
            opened = self._open_memory()
            self._now_in_memory()
            return opened
        return disk

    @property
    def _lasting(self) -> bool:
        return self._sources.monotonic() - self._failing_since_s >= _MOVE_AFTER_S

    def _commit(self, batch: Batch) -> None:
        epoch = self.current.store.epoch  # records of another store mean nothing to this one
        self.current.store.commit(
            Batch(
                batch.drafts,
                tuple(record for record in batch.delivered if record.epoch == epoch),
                tuple((record, reason) for record, reason in batch.refused if record.epoch == epoch),
                batch.losses,
            )
        )

    def _mend(self) -> None:
        """After a failure: open the file anew, or move to memory, or back."""
        if self.failure is None:
            return
        if self.in_memory:
            now_s = self._sources.monotonic()
            if now_s - self._looked_s >= RETURN_S:
                self._looked_s = now_s
                self._return()
            return
        try:
            self._reopen(self.failure)
        except OutboxError as error:
            self.note(error)
            if not self._lasting:
                raise
            self._move()

    def _reopen(self, failure: Exception) -> None:
        """Open the file anew: after an I/O error SQLite may believe in damage that is not there."""
        if getattr(failure, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
            return
        with self.reading:
            self.current.abandon()
            self.current = open_store(self._path, self._limits, self._sources, thorough=file.is_damage(failure))

    def _move(self) -> None:
        moved = self._open_memory()
        with self.reading:
            self.current.abandon()
            self.current = moved
        self._now_in_memory()

    def _now_in_memory(self) -> None:
        self.in_memory = True
        self._looked_s = self._sources.monotonic()
        logger.error(
            "%s. Answers are kept in memory meanwhile, and are sent, but a power cut loses what waits there.",
            explain(self._path, self.failure) if self.failure else self._path,
        )

    def _return(self) -> None:
        """Go back to the disk, if it works again."""
        try:
            disk = self._open_disk(thorough=self.failure is not None and file.is_damage(self.failure))
        except OutboxError as error:
            self.failure = error
            return
        try:
            disk.store.commit(_everything(self.current))
        except sqlite3.Error as error:
            self.failure = error
            disk.abandon()
            return
        with self.reading:
            self.current.abandon()
            self.current = disk
        self.in_memory = False
        self.failure = None
        self._forget_memory()
        logger.info("%s: works again; what was kept in memory is on the disk now", self._path)

    def _absorb(self, disk: OpenStore) -> None:
        """Fetch what an earlier run of this program has left in memory."""
        if not (self._folder / self._path.name).exists():
            return
        left = self._open_memory()
        try:
            disk.store.commit(_everything(left))
        except sqlite3.Error as error:
            raise OutboxError(explain(self._path, error)) from error
        finally:
            left.abandon()
        self._forget_memory()

    def _forget_memory(self) -> None:
        os.close(self._locks.pop(self._folder / self._path.name))
        shutil.rmtree(self._folder, ignore_errors=True)  # somebody may have tidied up before

    def _open_disk(self, *, thorough: bool = False) -> OpenStore:
        self._lock(self._path)
        return open_store(self._path, self._limits, self._sources, thorough=thorough)

    def _open_memory(self) -> OpenStore:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            status = self._folder.lstat()
        except OSError as error:
            raise OutboxError(f"{self._folder}: nor can memory be used ({error.strerror})") from error
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise OutboxError(f"{self._folder}: belongs to somebody else; nothing is kept there")
        path = self._folder / self._path.name
        self._lock(path)
        return open_store(path, self._memory_limits, self._sources)

    def _lock(self, path: Path) -> None:
        if path not in self._locks:
            self._locks[path] = file.lock(path)

    def _unlock(self) -> None:
        for descriptor in self._locks.values():
            os.close(descriptor)
        self._locks.clear()


def _everything(opened: OpenStore) -> Batch:
    """All that a store holds, as a batch for another one: payloads as they are, under the same ids."""
    records = [*_events(opened), *opened.reader.states(only_dirty=False)]
    untold = opened.store.untold()
    counts = msgspec.structs.replace(opened.store.ledger)
    for loss in untold:  # the other store counts these itself
        counts.lose(msgspec.structs.replace(loss, count=-loss.count if loss.count else loss.count))
    counts.committed -= len(records)
    return Batch(
        drafts=tuple(_draft(record) for record in records),
        losses=tuple(untold),
        letters=tuple(opened.reader.dead_letters(0, limit=-1)),
        counts=counts,
    )


def _events(opened: OpenStore) -> Iterator[Record]:
    number = 0
    while records := opened.reader.events(number, limit=1000):
        yield from records
        number = records[-1].number


def _draft(record: Record) -> Draft:
    return Draft((Post(record.topic, record.payload, record.retain, record.priority),), (record.id,), record.stamp)


def _is_disk_trouble(error: Exception, path: Path) -> bool:
    """Tell a disk that is full, read-only or dying from a folder that somebody must set right."""
    if isinstance(error, OutboxInUseError):
        return False
    cause = error.__cause__ or error
    if isinstance(cause, OSError):
        return cause.errno in _TROUBLE
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return True
    try:
        read_only = os.statvfs(path.parent).f_flag & os.ST_RDONLY
    except OSError:
        return False
    return bool(read_only) and code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
