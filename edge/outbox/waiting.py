"""What waits in memory for the next commit: bounded, and gathered so that many share one."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from edge.outbox.batch import Batch
from edge.record import Loss

if TYPE_CHECKING:
    from edge.outbox.ledger import Ledger
    from edge.record import Draft, Record

_STRUCT_BYTES = 1000
"""What a message that is not encoded yet counts for."""
_SETTLE_WAIT_S = 1.0
"""How long settlements wait for a commit to share. A crash in between sends those messages again, with equal ids."""
_SETTLE_MAX = 1000
TIDY_S = 60.0
"""How often there is a batch even if nothing happens: events grow old by themselves."""


class Waiting:
    """Drafts to be written, and settlements (delivered, refused) of what was. Any thread adds; one thread takes.

    Attributes:
        tidy_s: how often there is a batch even if nothing happens. For the taker.
    """

    def __init__(self, ledger: Ledger, *, commit_wait_s: float, max_bytes: int) -> None:
        self._ledger = ledger
        self._commit_wait_s = commit_wait_s
        self._max_bytes = max_bytes
        lock = threading.Lock()
        self._work = threading.Condition(lock)  # the taker waits here
        self._progress = threading.Condition(lock)  # and here everyone who waits for the taker
        self._drafts: deque[Draft] = deque()
        self._bytes = 0
        self._loss: Loss | None = None
        self._delivered: list[Record] = []
        self._refused: list[tuple[Record, str]] = []
        self._settled: set[str] = set()
        self._settled_events = 0
        self._added = self._done = 0  # drafts and settlements
        self.tidy_s = TIDY_S
        self._next_s = time.monotonic() + self.tidy_s
        self._taken_s = float("-inf")
        self._hurry = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._drafts)

    def counts(self) -> Ledger:
        """Count as of now: what the disk knows, corrected by what it does not know yet."""
        with self._work:
            ledger = msgspec.structs.replace(self._ledger)
            ledger.pending -= self._settled_events
            if self._loss is not None:
                ledger.lose(self._loss)
            return ledger

    def settled(self) -> frozenset[str]:
        """Ids of the records that are settled while the disk does not know it yet."""
        with self._work:
            return frozenset(self._settled)

    def add(self, draft: Draft) -> bool:
        """Add a draft; when there is too much, the oldest go, so that the newest states survive. ``False``: closed."""
        with self._work:
            if self._closed:
                return False
            self._drafts.append(draft)
            self._bytes += _weight(draft)
            self._added += 1
            while self._bytes > self._max_bytes and len(self._drafts) > 1:
                victim = self._drafts.popleft()
                self._bytes -= _weight(victim)
                self._lose(Loss.of("waiting", [victim]))
                self._done += 1
            if len(self._drafts) == 1:
                self._work.notify()
        return True

    def settle(self, record: Record, refusal: str | None) -> None:
        """Note that a record was delivered, or refused for a reason."""
        with self._work:
            if record.id in self._settled:
                return
            first = not (self._delivered or self._refused)
            self._settled.add(record.id)
            self._settled_events += not record.retain
            self._added += 1
            if refusal is None:
                self._delivered.append(record)
            else:
                self._refused.append((record, refusal))
            if first:
                self._next_s = min(self._next_s, time.monotonic() + _SETTLE_WAIT_S)
            if first or len(self._delivered) == _SETTLE_MAX:
                self._work.notify()

    def take(self) -> Batch | None:
        """Wait for something to do and take all of it; ``None`` when it is closed and empty.

        What comes after a pause is taken at once; of what comes faster than ``commit_wait_s``, all that came in that
        time is taken together.
        """
        with self._work:
            while not self._due():
                self._work.wait(max(0.0, self._next_s - time.monotonic()))
            if self._drafts and (early_s := self._taken_s + self._commit_wait_s - time.monotonic()) > 0:
                self._work.wait_for(lambda: self._hurry or self._closed, early_s)
            if self._closed and not (self._drafts or self._delivered or self._refused or self._loss):
                return None
            losses = () if self._loss is None else (self._loss,)
            batch = Batch(tuple(self._drafts), tuple(self._delivered), tuple(self._refused), losses)
            self._drafts.clear()
            self._bytes = 0
            self._loss = None
            self._delivered, self._refused = [], []
            self._hurry = False
            self._taken_s = time.monotonic()
            self._next_s = self._taken_s + self.tidy_s
        return batch

    def done(self, batch: Batch, ledger: Ledger) -> None:
        """Note that a taken batch is dealt with, and how the disk counts now."""
        records = [*batch.delivered, *(record for record, _ in batch.refused)]
        with self._progress:
            self._ledger = ledger
            self._done += len(batch.drafts) + len(records)
            self._settled.difference_update(record.id for record in records)
            self._settled_events -= sum(not record.retain for record in records)
            self._progress.notify_all()

    def lost(self, batch: Batch) -> None:
        """Note that a taken batch cannot be dealt with."""
        with self._work:
            for loss in batch.losses:
                self._lose(loss)
            if batch.drafts:
                self._lose(Loss.of("waiting", batch.drafts))
        self.done(batch, self._ledger)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was added or settled before is dealt with; ``False`` if that takes too long."""
        with self._progress:
            target = self._added
            if self._done < target:
                self._hurry = True
                self._work.notify()
            return self._progress.wait_for(lambda: self._done >= target, timeout_s)

    def hurry(self) -> None:
        """Make the taker take at once, be it nothing."""
        with self._work:
            self._hurry = True
            self._work.notify()

    def pause(self, timeout_s: float) -> None:
        """For the taker: wait, but not beyond the closing."""
        with self._work:
            self._work.wait_for(lambda: self._closed, timeout_s)

    def close(self) -> None:
        """Take nothing more in."""
        with self._work:
            self._closed = True
            self._work.notify()

    def _lose(self, loss: Loss) -> None:
        self._loss = loss if self._loss is None else self._loss + loss

    def _due(self) -> bool:
        return (
            bool(self._drafts)
            or self._closed
            or self._hurry
            or len(self._delivered) >= _SETTLE_MAX
            or time.monotonic() >= self._next_s
        )


def _weight(draft: Draft) -> int:
    return sum(len(post.message) if isinstance(post.message, bytes) else _STRUCT_BYTES for post in draft.posts)
