"""What goes into one transaction of the outbox, and what rules it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.outbox.ledger import Ledger
    from edge.outbox.reader import DeadLetter
    from edge.record import Draft, Loss, Post, Record


class Batch(Value, frozen=True):
    """All that one transaction does.

    ``purge`` removes so many of the oldest events. ``letters`` and ``counts`` come with the contents of another store
    that are moved to this one.
    """

    drafts: tuple[Draft, ...] = ()
    delivered: tuple[Record, ...] = ()
    refused: tuple[tuple[Record, str], ...] = ()
    losses: tuple[Loss, ...] = ()
    purge: int = 0
    letters: tuple[DeadLetter, ...] = ()
    counts: Ledger | None = None


class Limits(Value, frozen=True):
    """When the oldest events are dropped."""

    max_bytes: int
    max_age_s: float


class Sources(Value, frozen=True):
    """What comes from outside: UTC seconds since 1970, monotonic seconds of this boot, random bytes, words for a loss.

    Without ``announce``, losses are only counted, until a store that has it is opened.
    """

    clock: Callable[[], float]
    monotonic: Callable[[], float]
    random_bytes: Callable[[int], bytes]
    announce: Callable[[Loss], Post] | None = None
