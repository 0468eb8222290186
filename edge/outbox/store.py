"""The outbox's tables and the one transaction that everything goes through. It knows no threads.

What ``commit`` has returned from survives a power cut. Counts that must survive restarts (the ledger) change in the
same transaction as the rows that they count.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING

import msgspec

from edge.outbox import file
from edge.outbox.file import DamagedStoreError
from edge.outbox.gaps import Gaps
from edge.outbox.ledger import Ledger
from edge.outbox.reader import DeadLetter
from edge.record import Draft, Loss, Priority, Stamp, uuid7
from edge.value import Value

if TYPE_CHECKING:
    from pathlib import Path

    from edge.outbox.batch import Batch, Limits, Sources
    from edge.record import Cause, Post, Record

_ROW_BYTES = 100
"""What a row costs beside its topic and payload: id, stamps, the tree around it."""
_DROPPABLE = f"WHERE priority < {Priority.KEPT:d}"
_PLAUSIBLE_CLOCK_S = 1_735_689_600.0
"""2025: a wall clock before this was never set."""


class _Head(Value, frozen=True):
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
        token = _token(batch.drafts)
        if token and token == self._last_batch:
            return
        ledger = msgspec.structs.replace(self.ledger)
        sequences: dict[str, int] = {}
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            losses = list(batch.losses)
            ledger.delivered += self._settle(batch.delivered, ledger)
            for record, reason in batch.refused:
                stamp_s = record.stamp.clock_s
                self._bury(
                    DeadLetter(0, record.id, record.topic, record.payload, stamp_s, reason, self._sources.clock())
                )
            for letter in batch.letters:
                self._bury(letter)
            if batch.counts is not None:
                ledger.absorb(batch.counts)
            self._settle(tuple(record for record, _ in batch.refused), ledger)
            ledger.refused += len(batch.refused)
            for draft in batch.drafts:
                self._insert(draft, ledger, sequences, losses)
            if batch.purge:
                self._drop("purged", self._oldest(batch.purge), ledger, losses)
            self._drop_full(ledger, losses)
            head = self._drop_old(ledger, losses)
            self._account_for(losses, ledger, sequences)
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

    def forget_dead_letters(self, until: int) -> int:
        """Remove the dead letters up to a number; returns how many.

        Raises:
            sqlite3.Error: from SQLite.
        """
        return self._writer.execute("DELETE FROM dead_letters WHERE number <= ?", (until,)).rowcount

    def untold(self) -> list[Loss]:
        """Return the losses that no subscriber has been told of, nor will be by what waits here."""
        return self._gaps.untold()

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
        self._gaps = Gaps(self._writer, self._sources.monotonic)
        self._writer.execute("BEGIN IMMEDIATE")
        self._writer.execute("UPDATE meta SET value = ? WHERE name = 'run'", (str(self.run),))
        self._writer.execute("UPDATE meta SET value = '0' WHERE name = 'clean'")
        self._writer.execute("COMMIT")

    def _insert(self, draft: Draft, ledger: Ledger, sequences: dict[str, int], losses: list[Loss]) -> None:
        counted = dict(sequences)
        try:
            payloads = [self._encode(post, id_, counted) for post, id_ in zip(draft.posts, draft.ids, strict=True)]
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError):
            losses.append(Loss.of("invalid", [draft]))
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
        # An empty payload takes a topic back: once a broker knows, there is nothing to say on it.
        self._writer.executemany("DELETE FROM states WHERE topic = ? AND id = ? AND length(payload) = 0", states)
        return len(self._delete([record.number for record in records if not record.retain], ledger))

    def _delete(self, numbers: list[int], ledger: Ledger) -> list[tuple[int, str, float]]:
        """Remove these events; returns size, topic and time of those that were still there."""
        if not numbers:
            return []
        gone: list[tuple[int, str, float]] = self._writer.execute(
            "DELETE FROM events WHERE number IN (SELECT value FROM json_each(?)) RETURNING size, topic, clock_s",
            (json.dumps(numbers),),
        ).fetchall()
        ledger.pending -= len(gone)
        ledger.pending_bytes -= sum(size for size, _, _ in gone)
        return gone

    def _drop(self, cause: Cause, numbers: list[int], ledger: Ledger, losses: list[Loss]) -> None:
        gone = self._delete(numbers, ledger)
        if gone:
            times_s = [clock_s for _, _, clock_s in gone]
            topics = frozenset(topic for _, topic, _ in gone)
            losses.append(Loss(cause, len(gone), min(times_s), max(times_s), topics))

    def _account_for(self, losses: list[Loss], ledger: Ledger, sequences: dict[str, int]) -> None:
        """Count losses, and queue what tells subscribers of them."""
        for loss in losses:
            ledger.lose(loss)
        self._gaps.note(losses)
        if self._sources.announce is None:
            return
        clock_s, monotonic_s = self._sources.clock(), self._sources.monotonic()
        for loss in self._gaps.take():
            id_ = uuid7(clock_s, self._sources.random_bytes)
            draft = Draft((self._sources.announce(loss),), (id_,), Stamp(clock_s, monotonic_s))
            self._insert(draft, ledger, sequences, losses)

    def _bury(self, letter: DeadLetter) -> None:
        """Put it among the dead letters, of which the newest are kept, up to a tenth of ``max_bytes``."""
        size = len(letter.payload) + len(letter.topic) + _ROW_BYTES
        self._writer.execute(
            "INSERT INTO dead_letters(id, topic, payload, size, clock_s, reason, refused_at_s) "
            "VALUES(?, ?, ?, ?, ?, ?, ?)",
            (letter.id, letter.topic, letter.payload, size, letter.clock_s, letter.reason, letter.refused_at_s),
        )
        self._writer.execute(
            "DELETE FROM dead_letters WHERE number IN (SELECT number FROM (SELECT number, "
            "SUM(size) OVER (ORDER BY number DESC) AS total FROM dead_letters) WHERE total > ?)",
            (self._limits.max_bytes // 10,),
        )

    def _oldest(self, limit: int) -> list[int]:
        rows = self._writer.execute(f"SELECT number FROM events {_DROPPABLE} ORDER BY number LIMIT ?", (limit,))  # noqa: S608  a constant
        return [number for (number,) in rows.fetchall()]

    def _drop_full(self, ledger: Ledger, losses: list[Loss]) -> None:
        for choice in (f"WHERE priority = {Priority.EXPENDABLE:d}", _DROPPABLE):
            while (excess := ledger.pending_bytes - self._limits.max_bytes) > 0:
                rows = self._writer.execute(f"SELECT number, size FROM events {choice} ORDER BY number LIMIT 100")  # noqa: S608  constants
                victims: list[int] = []
                for number, size in rows.fetchall():
                    if excess > 0:
                        victims.append(number)
                        excess -= size
                if not victims:
                    break
                self._drop("full", victims, ledger, losses)

    def _drop_old(self, ledger: Ledger, losses: list[Loss]) -> _Head | None:
        """Drop from the oldest end what has waited for too long; returns what then is the oldest."""
        while (head := self._read_head()) is not None:
            if self._age_s(head.stamp, earlier=head.earlier) <= self._limits.max_age_s:
                break
            rows = self._writer.execute(
                f"SELECT number, clock_s, monotonic_s, run FROM events {_DROPPABLE} ORDER BY number LIMIT 100"  # noqa: S608  a constant
            )
            old = [
                number
                for number, clock_s, monotonic_s, run in rows.fetchall()
                if self._age_s(Stamp(clock_s, monotonic_s), earlier=run != self.run) > self._limits.max_age_s
            ]
            self._drop("old", old, ledger, losses)
        return head

    def _read_head(self) -> _Head | None:
        row = self._writer.execute(
            f"SELECT clock_s, monotonic_s, run FROM events {_DROPPABLE} ORDER BY number LIMIT 1"  # noqa: S608  a constant
        ).fetchone()
        return None if row is None else _Head(Stamp(row[0], row[1]), earlier=row[2] != self.run)

    def _age_s(self, stamp: Stamp, *, earlier: bool) -> float:
        """Seconds since a stamp. The wall clock may jump: it only counts across runs, and only if it had been set."""
        try:
            if not earlier:
                return self._sources.monotonic() - stamp.monotonic_s
            return max(0.0, self._sources.clock() - stamp.clock_s) if stamp.clock_s >= _PLAUSIBLE_CLOCK_S else 0.0
        except TypeError as error:
            raise DamagedStoreError(f"the time of a record makes no sense: {error}") from error

    def _write_down(self, ledger: Ledger, sequences: dict[str, int], token: str) -> None:
        """Write what has changed of the counts; where nothing has, the transaction costs no write."""
        old = msgspec.structs.asdict(self.ledger)
        counts = [(name, count) for name, count in msgspec.structs.asdict(ledger).items() if count != old[name]]
        self._writer.executemany("INSERT OR REPLACE INTO ledger VALUES(?, ?)", counts)
        self._writer.executemany("INSERT OR REPLACE INTO sequences VALUES(?, ?)", sequences.items())
        if token:
            self._writer.execute("UPDATE meta SET value = ? WHERE name = 'last_batch'", (token,))


def _token(drafts: tuple[Draft, ...]) -> str:
    """Tells these drafts from any others, also from the same with some more; empty if there are none."""
    ids = [id_ for draft in drafts for id_ in draft.ids]
    return f"{ids[0]} {zlib.crc32(''.join(ids).encode())}" if ids else ""
