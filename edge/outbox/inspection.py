"""Looking into an outbox from outside: while the daemon works on it, or with nobody working on it at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edge.errors import OutboxError, OutboxInUseError
from edge.outbox import file
from edge.outbox.batch import Batch
from edge.outbox.opening import explain, open_store
from edge.outbox.reader import Reader
from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.outbox.batch import Limits, Sources
    from edge.outbox.ledger import Ledger
    from edge.outbox.opening import OpenStore

_AT_ONCE = 1000


class Summary(Value, frozen=True):
    """An outbox in numbers.

    Attributes:
        epoch: its id.
        in_use: a daemon works on it.
        ledger: counts since it began, as of the last commit.
        oldest_s: when the oldest waiting event was handed over, UTC seconds since 1970, as the wall clock was then.
        dead_letters: what a broker refused and is kept for a person to look at.
    """

    epoch: str
    in_use: bool
    ledger: Ledger
    oldest_s: float | None
    dead_letters: int


@contextmanager
def looking_into(path: Path) -> Iterator[Reader]:
    """Open an existing outbox only to read, whoever else works on it.

    Raises:
        OutboxError: there is none, or it cannot be read.
    """
    _find(path)
    try:
        reader = Reader.of_unknown(path)
        try:
            yield reader
        finally:
            reader.close()
    except file.TROUBLE as error:
        raise OutboxError(explain(path, error)) from error


@contextmanager
def working_on(path: Path, limits: Limits, sources: Sources, *, what: str) -> Iterator[OpenStore]:
    """Open an existing outbox to change it, with nobody else working on it; ``what`` names the change in messages.

    Raises:
        OutboxInUseError: the daemon runs.
        OutboxError: there is none, or it cannot be written.
    """
    _find(path)
    try:
        descriptor = file.lock(path)
    except OutboxInUseError as error:
        raise OutboxInUseError(
            f"{path}: the daemon is using it; to {what}, stop it first (systemctl stop sightpost), then start it again"
        ) from error
    try:
        opened = open_store(path, limits, sources)
        try:
            yield opened
        finally:
            opened.reader.close()
            opened.store.close()
    except file.TROUBLE as error:
        raise OutboxError(explain(path, error)) from error
    finally:
        os.close(descriptor)


def summarize(path: Path) -> Summary:
    """Count; the daemon may be at work meanwhile.

    Raises:
        OutboxError: as ``looking_into``.
    """
    with looking_into(path) as reader:
        first = reader.events(0, limit=1)
        return Summary(
            epoch=reader.epoch,
            in_use=file.in_use(path),
            ledger=reader.ledger(),
            oldest_s=first[0].stamp.clock_s if first else None,
            dead_letters=reader.count_dead_letters(),
        )


def settle(opened: OpenStore, *, until: int) -> int:
    """Mark all events up to a number as delivered; returns how many that were."""
    before = opened.store.ledger.delivered
    while records := [record for record in opened.reader.events(0, limit=_AT_ONCE) if record.number <= until]:
        opened.store.commit(Batch(delivered=tuple(records)))
    return opened.store.ledger.delivered - before


def purge(opened: OpenStore) -> int:
    """Remove all events but those that tell of losses; the removal becomes one of these. Returns how many."""
    before = done = opened.store.ledger.dropped_purged
    while True:
        opened.store.commit(Batch(purge=_AT_ONCE))
        if opened.store.ledger.dropped_purged == done:
            return done - before
        done = opened.store.ledger.dropped_purged


def _find(path: Path) -> None:
    try:
        found = path.exists()
    except OSError as error:
        raise OutboxError(
            f"{path}: cannot be reached ({error.strerror}): be the daemon's user, or root; or check device.state_dir"
        ) from error
    if not found:
        raise OutboxError(f"{path}: there is no outbox yet; the daemon makes it: check device.state_dir")
