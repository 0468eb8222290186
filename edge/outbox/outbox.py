"""The durable queue between inference and the network.

``put`` never touches the disk: one thread commits all that waits in one transaction, as often as the disk allows.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from edge.errors import OutboxError
from edge.messages import OutboxStatus
from edge.outbox import file
from edge.outbox.batch import Limits, Sources
from edge.outbox.opening import explain
from edge.outbox.stores import MEMORY, RETURN_S, Stores
from edge.outbox.waiting import TIDY_S, Waiting
from edge.record import Draft, Loss, Post, Record, Stamp, uuid7
from edge.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.config import OutboxConfig
    from edge.outbox.batch import Batch

logger = logging.getLogger(__name__)

WAITING_BYTES = 8_000_000
"""What may wait in memory while the disk does not keep up: some 4,000 answers."""
_RETRY_S = (0.05, 5.0)
"""The first and the longest pause before a failed commit is tried again."""


class Outbox:
    """Takes posts from any thread and keeps them until a broker has acknowledged them.

    A post is accepted when it is committed, not when it is put; ``flush`` waits for that.
    """

    @classmethod
    def open(
        cls,
        path: Path,
        config: OutboxConfig,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        random_bytes: Callable[[int], bytes] = os.urandom,
        announce: Callable[[Loss], Post] | None = None,
        waiting_bytes: int = WAITING_BYTES,
        memory: Path = MEMORY,
    ) -> Outbox:
        """Open or make the file, and start the thread that writes to it. A damaged file is set aside.

        While the disk fails, the outbox lives in the folder ``memory``, in at most ``waiting_bytes``.

        ``announce`` words the message that tells subscribers of a loss; without it losses are only counted.

        Raises:
            OutboxError: nothing can be stored there, or another process does.
        """
        sources = Sources(clock, monotonic, random_bytes, announce)
        return cls(path, config, sources, waiting_bytes=waiting_bytes, memory=memory)

    def __init__(self, path: Path, config: OutboxConfig, sources: Sources, *, waiting_bytes: int, memory: Path) -> None:
        self._path = path
        self._sources = sources
        limits = Limits(config.max_bytes, config.max_age_s)
        self._stores = Stores(path, limits, sources, memory_bytes=waiting_bytes, memory=memory)
        ledger = self._stores.current.store.ledger
        self._waiting = Waiting(ledger, commit_wait_s=config.commit_wait_s, max_bytes=waiting_bytes)
        self._give_up_s = float("inf")
        self._listener: Callable[[], None] = lambda: None
        self._throttle = Throttle()
        self._thread = threading.Thread(target=self._write_forever, name="outbox", daemon=True)
        self._thread.start()

    @property
    def epoch(self) -> str:
        """The id of this store; a new one means that an earlier one is lost."""
        return self._stores.current.store.epoch

    @property
    def failing(self) -> bool:
        """Whether the disk fails right now; ``stats`` says how."""
        return self._stores.failure is not None

    def put(self, *posts: Post) -> None:
        """Hand over posts that belong together: they are committed in one transaction, or none of them is.

        It takes microseconds and never waits for the disk. When too much waits already, the oldest of that is dropped
        and counted.

        Raises:
            OutboxError: the outbox was closed.
        """
        clock_s = self._sources.clock()
        ids = tuple(uuid7(clock_s, self._sources.random_bytes) for _ in posts)
        if not self._waiting.add(Draft(posts, ids, Stamp(clock_s, self._sources.monotonic()))):
            raise OutboxError(f"{self._path}: the outbox is closed")

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was put or settled before is on the disk; ``False`` if that takes too long."""
        return self._waiting.flush(timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Commit what waits and close the file. What a failing disk does not take in time is lost, and logged."""
        if self._give_up_s != float("inf"):
            return
        self._give_up_s = time.monotonic() + timeout_s
        self._waiting.close()
        self._thread.join(timeout_s + 1.0)
        if self._thread.is_alive():
            logger.error("%s: the disk hangs; %d answers are not written", self._path, len(self._waiting))
            return  # nothing may be closed under a call into SQLite
        self._stores.close()

    def stats(self) -> OutboxStatus:
        """Count. Nothing is read from the disk for it."""
        store, failure = self._stores.current.store, self._stores.failure
        counts = self._waiting.counts()
        return OutboxStatus(
            waiting=len(self._waiting),
            pending=counts.pending,
            pending_bytes=counts.pending_bytes,
            oldest_age_s=store.oldest_age_s() if counts.pending else None,
            committed=counts.committed,
            delivered=counts.delivered,
            refused=counts.refused,
            dropped=counts.dropped(),
            failure=None if failure is None else explain(self._path, failure),
        )

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called, in the writing thread, when there is something new to read: it must be quick."""
        self._listener = listener

    def states(self, *, only_dirty: bool) -> list[Record]:
        """Read the newest state of every topic, or only those that no broker has acknowledged yet."""
        settled = self._waiting.settled() if only_dirty else ()  # what is settled while we read is not missed
        with self._stores.reading:
            try:
                records = self._stores.current.reader.states(only_dirty=only_dirty)
            except file.TROUBLE as error:
                return self._doubt(error)
        return [record for record in records if record.id not in settled]

    def events(self, after: Record | None, *, limit: int) -> list[Record]:
        """Read the next events in the order of their commits, from the first one or after one that was read before."""
        settled = self._waiting.settled()
        with self._stores.reading:
            reader = self._stores.current.reader
            number = after.number if after is not None and after.epoch == reader.epoch else 0
            try:
                while records := reader.events(number, limit=limit):
                    number = records[-1].number
                    if unsettled := [record for record in records if record.id not in settled]:
                        return unsettled
            except file.TROUBLE as error:
                return self._doubt(error)
        return []

    def delivered(self, record: Record) -> None:
        """Note that a broker has acknowledged this record: an event is forgotten, a state needs no telling."""
        self._waiting.settle(record, None)

    def refused(self, record: Record, reason: str) -> None:
        """Note that a broker does not want this record: it is put among the dead letters."""
        self._waiting.settle(record, reason)

    def _doubt(self, error: Exception) -> list[Record]:
        """Have the writing thread open the file anew, and look for damage."""
        self._stores.note(error)
        self._waiting.hurry()
        return []

    def _write_forever(self) -> None:
        while (batch := self._waiting.take()) is not None:
            try:
                written = self._persist(batch)
            except Exception:  # the top of this thread: what a fault makes of one batch must not end all storing
                logger.exception("%s: %d answers are lost to a fault in this program", self._path, len(batch.drafts))
                self._waiting.lost(batch)
                continue
            if not written:
                logger.error("%s: %d answers are not written", self._path, len(batch.drafts))
                return
            if batch.drafts:
                self._listener()

    def _persist(self, batch: Batch) -> bool:
        """Write a batch, however often that has to be tried until the closing."""
        pause_s, longest_s = _RETRY_S
        while not self._write(batch):
            if time.monotonic() > self._give_up_s:
                return False
            self._waiting.pause(pause_s)
            pause_s = min(2 * pause_s, longest_s)
        self._waiting.done(batch, self._stores.current.store.ledger)
        return True

    def _write(self, batch: Batch) -> bool:
        failing = self.failing
        try:
            self._stores.commit(batch)
        except (*file.TROUBLE, OutboxError) as error:
            self._stores.note(error)
            message = explain(self._path, error)
            if self._throttle.allows(message):
                logger.error("Answers wait in memory: %s", message)  # noqa: TRY400  it says it all
            return False
        self._waiting.tidy_s = RETURN_S if self.failing else TIDY_S
        if failing:
            self._listener()
        return True
