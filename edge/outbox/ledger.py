"""What the outbox counts, durably: messages by their fate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from edge.record import Loss


class Ledger(msgspec.Struct):
    """Counts of messages since the store began. Retained ones are in ``committed`` only; the rest is about events.

    ``dropped_waiting`` counts what never reached the disk because it did not keep up, ``dropped_full`` what had to go
    for ``max_bytes``, ``dropped_old`` for ``max_age_s``, ``dropped_invalid`` what could not be written as JSON,
    ``dropped_purged`` what a person removed.
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
    dropped_purged: int = 0

    def lose(self, loss: Loss) -> None:
        """Count a loss, if its size is known."""
        if loss.count is not None:
            name = f"dropped_{loss.cause}"
            setattr(self, name, getattr(self, name) + loss.count)

    def absorb(self, other: Ledger) -> None:
        """Add what another store has counted, but for what still waits there."""
        for name, count in msgspec.structs.asdict(other).items():
            if not name.startswith("pending"):
                setattr(self, name, getattr(self, name) + count)

    def dropped(self) -> dict[str, int]:
        """The losses by cause."""
        counts = msgspec.structs.asdict(self)
        return {name.removeprefix("dropped_"): n for name, n in counts.items() if name.startswith("dropped_")}
