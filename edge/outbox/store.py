"""The outbox's tables and the one transaction that everything goes through. It knows no threads.

What ``commit`` has returned from survives a power cut. Counts that must survive restarts (the ledger) change in the
same transaction as the rows that they count.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edge.outbox import file
from edge.outbox.file import DamagedStoreError
from edge.record import Priority, Stamp, uuid7

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.record import Draft, Post, Record

_ROW_BYTES = 100
"""What a row costs beside its topic and payload: id, stamps, the tree around it."""
_PLAUSIBLE_CLOCK_S = 1_735_689_600.0
"""2025: a wall clock before this was never set."""


class Ledger(msgspec.Struct):
    """Counts of messages since the store began. Retained ones are in ``committed`` only; the rest is about events.

    ``dropped_waiting`` counts what never reached the disk because it did not keep up, ``dropped_full`` what had to go
    for ``max_bytes``, ``dropped_old`` for ``max_age_s``, ``dropped_invalid`` what could not be written as JSON.
    """

    pending: int = 0
    pending_bytes: int = 0
    committed: int = 0
    delivered: int = 0
    refused: int = 0
    dropped_waiting: int = 0
    dropped_full: int = 0
    dropped_old: int = 0
    dropped_invalid: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """All that one transaction does."""

    drafts: tuple[Draft, ...] = ()
    delivered: tuple[Record, ...] = ()
    refused: tuple[tuple[Record, str], ...] = ()
    dropped_waiting: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """When the oldest events are dropped."""

    max_bytes: int
    max_age_s: float


@dataclass(frozen=True, slots=True)
class Sources:
    """Time and randomness, from outside: UTC seconds since 1970, monotonic seconds of this boot, random bytes."""

    clock: Callable[[], float]
    monotonic: Callable[[], float]
    random_bytes: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class _Head:
    """The oldest event."""

    stamp: Stamp
    earlier: bool


class Store:
    """The open file, for one thread.

    Attributes:
        epoch: the id that this file got when it was made.
        run: counts how often it was opened, from 1.
        ended_well: it was closed before it was opened now, and not cut off.
        ledger: the counts as of the last commit; replaced as a whole, never changed.
    """

    epoch: str
    run: int
    ended_well: bool
    ledger: Ledger
    _head: _Head | None
    _sequences: dict[str, int]
    _last_batch: str

    def __init__(self, path: Path, limits: Limits, sources: Sources) -> None:
        """Open or make the file.

        Raises:
            DamagedStoreError: the file is there but is no store of this version.
            sqlite3.Error: anything else that SQLite has to say.
        """
        self._limits = limits
        self._sources = sources
        epoch = uuid7(sources.clock(), sources.random_bytes)
        self._writer = file.connect(path, max_bytes=limits.max_bytes, new_epoch=epoch)
        try:
            self._load()
        except BaseException:
            self.abandon()
            raise

    def commit(self, batch: Batch) -> None:
        """Do all of a batch, durably, or nothing of it.

        When an error leaves open whether it was written, open the file anew and commit the batch again: it is not
        doubled.

        Raises:
            sqlite3.Error: it was not written, as far as SQLite knows.
        """
        token = batch.drafts[0].ids[0] if batch.drafts else ""
        if token and token == self._last_batch:
            return
        ledger = msgspec.structs.replace(self.ledger)
        sequences: dict[str, int] = {}
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            ledger.dropped_waiting += batch.dropped_waiting
            ledger.delivered += self._settle(batch.delivered, ledger)
            for record, reason in batch.refused:
                self._bury(record, reason)
            self._settle(tuple(record for record, _ in batch.refused), ledger)
            ledger.refused += len(batch.refused)
            for draft in batch.drafts:
                self._insert(draft, ledger, sequences)
            self._drop_full(ledger)
            head = self._drop_old(ledger)
            self._write_down(ledger, sequences, token)
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise
        self.ledger = ledger
        self._head = head
        self._sequences |= sequences
        self._last_batch = token or self._last_batch

    def oldest_age_s(self) -> float | None:
        """Say how old the oldest event is."""
        head = self._head
        return None if head is None else self._age_s(head.stamp, earlier=head.earlier)

    def close(self) -> None:
        """Say in the file that it ends well, fold its log into it, and close."""
        try:
            self._writer.execute("UPDATE meta SET value = '1' WHERE name = 'clean'")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._writer.close()

    def abandon(self) -> None:
        """Close without another word to a disk that may not listen."""
        self._writer.close()

    def _load(self) -> None:
        meta = dict(self._writer.execute("SELECT name, value FROM meta"))
        counts = dict(self._writer.execute("SELECT name, count FROM ledger"))
        try:
            self.epoch = meta["epoch"]
            self.ended_well = meta["clean"] == "1"
            self.run = int(meta["run"]) + 1
            self.ledger = Ledger(**counts)
            self._last_batch = meta["last_batch"]
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedStoreError(f"its tables make no sense: {error!r}") from error
        self._sequences = dict(self._writer.execute("SELECT topic, last FROM sequences"))
        self._head = self._read_head()
        self._writer.execute("BEGIN IMMEDIATE")
        self._writer.execute("UPDATE meta SET value = ? WHERE name = 'run'", (str(self.run),))
        self._writer.execute("UPDATE meta SET value = '0' WHERE name = 'clean'")
        self._writer.execute("COMMIT")

    def _insert(self, draft: Draft, ledger: Ledger, sequences: dict[str, int]) -> None:
        counted = dict(sequences)
        try:
            payloads = [self._encode(post, id_, counted) for post, id_ in zip(draft.posts, draft.ids, strict=True)]
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError):
            ledger.dropped_invalid += len(draft.posts)
            return
        sequences |= counted
        ledger.committed += len(draft.posts)
        when = (draft.stamp.clock_s, draft.stamp.monotonic_s, self.run)
        for post, id_, payload in zip(draft.posts, draft.ids, payloads, strict=True):
            if post.retain:
                self._writer.execute(
                    "INSERT OR REPLACE INTO states VALUES(?, ?, ?, ?, ?, ?, 1)", (post.topic, id_, payload, *when)
                )
                continue
            size = len(payload) + len(post.topic) + _ROW_BYTES
            self._writer.execute(
                "INSERT INTO events(id, topic, payload, size, priority, clock_s, monotonic_s, run) "
                "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                (id_, post.topic, payload, size, int(post.priority), *when),
            )
            ledger.pending += 1
            ledger.pending_bytes += size

    def _encode(self, post: Post, id_: str, sequences: dict[str, int]) -> bytes:
        if isinstance(post.message, bytes):
            return post.message
        sequence = sequences.get(post.topic, self._sequences.get(post.topic, 0)) + 1
        payload = msgspec.json.encode(
            msgspec.structs.replace(post.message, id=id_, epoch=self.epoch, sequence=sequence)
        )
        sequences[post.topic] = sequence
        return payload

    def _settle(self, records: tuple[Record, ...], ledger: Ledger) -> int:
        """Forget these events and mark these states as said; returns how many events were still there."""
        states = [(record.topic, record.id) for record in records if record.retain]
        self._writer.executemany("UPDATE states SET dirty = 0 WHERE topic = ? AND id = ? AND dirty", states)
        return self._delete([record.number for record in records if not record.retain], ledger)

    def _delete(self, numbers: list[int], ledger: Ledger) -> int:
        if not numbers:
            return 0
        gone = self._writer.execute(
            "DELETE FROM events WHERE number IN (SELECT value FROM json_each(?)) RETURNING size", (json.dumps(numbers),)
        ).fetchall()
        ledger.pending -= len(gone)
        ledger.pending_bytes -= sum(size for (size,) in gone)
        return len(gone)

    def _bury(self, record: Record, reason: str) -> None:
        """Put a copy among the dead letters, of which the newest are kept, up to a tenth of ``max_bytes``."""
        size = len(record.payload) + len(record.topic) + _ROW_BYTES
        self._writer.execute(
            "INSERT INTO dead_letters(id, topic, payload, size, clock_s, reason, refused_at_s) "
            "VALUES(?, ?, ?, ?, ?, ?, ?)",
            (record.id, record.topic, record.payload, size, record.stamp.clock_s, reason, self._sources.clock()),
        )
        self._writer.execute(
            "DELETE FROM dead_letters WHERE number IN (SELECT number FROM (SELECT number, "
            "SUM(size) OVER (ORDER BY number DESC) AS total FROM dead_letters) WHERE total > ?)",
            (self._limits.max_bytes // 10,),
        )

    def _drop_full(self, ledger: Ledger) -> None:
        for choice in (f"WHERE priority = {Priority.EXPENDABLE:d}", ""):
            while (excess := ledger.pending_bytes - self._limits.max_bytes) > 0:
                rows = self._writer.execute(f"SELECT number, size FROM events {choice} ORDER BY number LIMIT 100")  # noqa: S608  two constants
                victims: list[int] = []
                for number, size in rows.fetchall():
                    if excess > 0:
                        victims.append(number)
                        excess -= size
                if not victims:
                    break
                ledger.dropped_full += self._delete(victims, ledger)

    def _drop_old(self, ledger: Ledger) -> _Head | None:
        """Drop from the oldest end what has waited for too long; returns what then is the oldest."""
        while (head := self._read_head()) is not None:
            if self._age_s(head.stamp, earlier=head.earlier) <= self._limits.max_age_s:
                break
            rows = self._writer.execute(
                "SELECT number, clock_s, monotonic_s, run FROM events ORDER BY number LIMIT 100"
            )
            ledger.dropped_old += self._delete(
                [
                    number
                    for number, clock_s, monotonic_s, run in rows.fetchall()
                    if self._age_s(Stamp(clock_s, monotonic_s), earlier=run != self.run) > self._limits.max_age_s
                ],
                ledger,
            )
        return head

    def _read_head(self) -> _Head | None:
        row = self._writer.execute("SELECT clock_s, monotonic_s, run FROM events ORDER BY number LIMIT 1").fetchone()
        return None if row is None else _Head(Stamp(row[0], row[1]), earlier=row[2] != self.run)

    def _age_s(self, stamp: Stamp, *, earlier: bool) -> float:
        """Seconds since a stamp. The wall clock may jump: it only counts across runs, and only if it had been set."""
        if not earlier:
            return self._sources.monotonic() - stamp.monotonic_s
        return max(0.0, self._sources.clock() - stamp.clock_s) if stamp.clock_s >= _PLAUSIBLE_CLOCK_S else 0.0

    def _write_down(self, ledger: Ledger, sequences: dict[str, int], token: str) -> None:
        """Write what has changed of the counts; where nothing has, the transaction costs no write."""
        old = msgspec.structs.asdict(self.ledger)
        counts = [(name, count) for name, count in msgspec.structs.asdict(ledger).items() if count != old[name]]
        self._writer.executemany("INSERT OR REPLACE INTO ledger VALUES(?, ?)", counts)
        self._writer.executemany("INSERT OR REPLACE INTO sequences VALUES(?, ?)", sequences.items())
        if token:
            self._writer.execute("UPDATE meta SET value = ? WHERE name = 'last_batch'", (token,))
