"""Reading the outbox's file while another thread writes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.outbox import file
from edge.outbox.ledger import Ledger
from edge.record import Priority, Record, Stamp
from edge.value import Value

if TYPE_CHECKING:
    from pathlib import Path

_AT_ONCE = 1000
_TYPES = (str, str, bytes, int, float, float, int)
_PRIORITIES = frozenset(Priority)


class DeadLetter(Value, frozen=True):
    """What a broker did not want, why, and when it said so (UTC seconds since 1970, as ``clock_s`` of the putting)."""

    number: int
    id: str
    topic: str
    payload: bytes
    clock_s: float
    reason: str
    refused_at_s: float


class Reader:
    """A reading connection, for one thread at a time."""

    def __init__(self, path: Path, *, epoch: str, run: int) -> None:
        """Open an existing file, whose ``epoch`` this is; ``run`` tells records of this run from earlier ones.

        Raises:
            sqlite3.Error: from SQLite.
        """
        self.epoch = epoch
        self._run = run
        self._connection = file.connect_reader(path)

    @classmethod
    def of_unknown(cls, path: Path) -> Reader:
        """Open an existing file that somebody else may work on; all its records are ``earlier``.

        Raises:
            DamagedStoreError: it is no outbox of this version.
            sqlite3.Error: from SQLite.
        """
        reader = cls(path, epoch="", run=0)
        try:
            reader.epoch = file.identify(reader._connection)
        except BaseException:
            reader.close()
            raise
        return reader

    def states(self, *, only_dirty: bool) -> list[Record]:
        """Read the newest state of every topic, or only those that no broker has acknowledged yet."""
        rows = self._connection.execute(
            "SELECT 0, id, topic, payload, 1, clock_s, monotonic_s, run FROM states WHERE dirty >= ? ORDER BY topic",
            (int(only_dirty),),
        )
        return [self._record(*row) for row in rows.fetchall()]

    def events(self, after: int, *, limit: int, limit_bytes: int = 4_000_000) -> list[Record]:
        """Read the next events in the order of their commits: at most about so much, at least one if there is one."""
        rows = self._connection.execute(
            "SELECT number, id, topic, payload, priority, clock_s, monotonic_s, run FROM events WHERE number > ? "
            "ORDER BY number LIMIT ?",
            (after, limit),
        )
        records: list[Record] = []
        for row in rows:
            records.append(self._record(*row))
            limit_bytes -= len(records[-1].payload)
            if limit_bytes <= 0:
                break
        rows.close()
        return records

    def dead_letters(self, after: int, *, limit: int) -> list[DeadLetter]:
        """Read the next dead letters, oldest first."""
        rows = self._connection.execute(
            "SELECT number, id, topic, payload, clock_s, reason, refused_at_s FROM dead_letters WHERE number > ? "
            "ORDER BY number LIMIT ?",
            (after, limit),
        )
        return [DeadLetter(*row) for row in rows.fetchall()]

    def count_dead_letters(self) -> int:
        """Say how many dead letters are kept."""
        return int(self._connection.execute("SELECT COUNT(*) FROM dead_letters").fetchone()[0])

    def ledger(self) -> Ledger:
        """Read the counts as of the last commit."""
        return Ledger(**dict(self._connection.execute("SELECT name, count FROM ledger")))

    def check(self, *, budget_s: float | None = None) -> None:
        """Look for damage; see ``file.check``. What SQLite thinks is sound may still be no records.

        Raises:
            DamagedStoreError, sqlite3.Error: there is some.
        """
        file.check(self._connection, budget_s=budget_s)
        if budget_s is None:
            number = 0
            while records := self.events(number, limit=_AT_ONCE):
                number = records[-1].number
            self.states(only_dirty=False)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _record(
        self,
        number: int,
        id_: str,
        topic: str,
        payload: bytes,
        priority: int,
        clock_s: float,
        monotonic_s: float,
        run: int,
    ) -> Record:
        values = (id_, topic, payload, priority, clock_s, monotonic_s, run)
        if tuple(map(type, values)) != _TYPES or priority not in _PRIORITIES:
            raise file.DamagedStoreError(f"record {number} makes no sense")
        return Record(
            number=number,
            id=id_,
            topic=topic,
            payload=payload,
            retain=number == 0,
            stamp=Stamp(clock_s, monotonic_s),
            epoch=self.epoch,
            earlier=run != self._run,
            priority=Priority(priority),
        )
