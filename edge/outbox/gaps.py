"""The account of what was lost, until subscribers are told.

Losses add up, one row for each cause, until they are taken out to be announced. Announcements are events that are never
dropped themselves; while many of them wait for a broker no more are made, so that years of loss take a few rows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edge.record import Loss, Priority

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

INTERVAL_S = 10.0
"""How often losses are announced while they go on."""
_WAITING_MAX = 16
"""So many announcements may wait to be sent."""


class Gaps:
    """The table ``gaps`` of an open store; called within its transactions."""

    def __init__(self, connection: sqlite3.Connection, monotonic: Callable[[], float]) -> None:
        self._connection = connection
        self._monotonic = monotonic
        self._due_s = float("-inf")
        self._any = connection.execute("SELECT 1 FROM gaps").fetchone() is not None

    def note(self, losses: Iterable[Loss]) -> None:
        """Add losses to what is to be announced."""
        for loss in losses:
            total = next((known + loss for known in self._read(loss.cause)), loss)
            self._connection.execute(
                "INSERT OR REPLACE INTO gaps VALUES(?, ?, ?, ?, ?)",
                (total.cause, total.count, total.since_s, total.until_s, json.dumps(sorted(total.topics))),
            )
            self._any = True

    def take(self) -> list[Loss]:
        """Take out what is to be announced now."""
        if not self._any or self._monotonic() < self._due_s:
            return []
        waiting = self._connection.execute(f"SELECT COUNT(*) FROM events WHERE priority = {Priority.KEPT:d}")  # noqa: S608  a constant
        if waiting.fetchone()[0] >= _WAITING_MAX:
            return []
        losses = self._read("%")
        self._connection.execute("DELETE FROM gaps")
        self._any = bool(losses)  # a rollback may bring them back
        self._due_s = self._monotonic() + INTERVAL_S
        return losses

    def untold(self) -> list[Loss]:
        """Return what is still to be announced."""
        return self._read("%") if self._any else []

    def _read(self, cause: str) -> list[Loss]:
        rows = self._connection.execute("SELECT * FROM gaps WHERE cause LIKE ?", (cause,))
        return [
            Loss(cause, count, since_s, until_s, frozenset(json.loads(topics)))
            for cause, count, since_s, until_s, topics in rows.fetchall()
        ]
