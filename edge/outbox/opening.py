"""Opening the outbox's file whatever state it is in: a damaged one is set aside and a fresh one takes its place."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from typing import TYPE_CHECKING

from edge.errors import OutboxError
from edge.outbox import file
from edge.outbox.batch import Batch, Limits, Sources
from edge.outbox.reader import Reader
from edge.outbox.store import Store
from edge.record import Loss
from edge.value import Value

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

CHECK_S = 2.0
"""How long the start may be delayed by looking for damage after a power cut."""


class OpenStore(Value, frozen=True):
    """Both connections to one file."""

    store: Store
    reader: Reader

    def abandon(self) -> None:
        """Close both without another word to the disk."""
        self.reader.close()
        self.store.abandon()


def open_store(path: Path, limits: Limits, sources: Sources, *, thorough: bool = False) -> OpenStore:
    """Open or make the file; set it aside and make a fresh one if it is damaged.

    ``thorough`` checks all of it, however long that takes; otherwise it is checked for a moment if it was cut off.

    Raises:
        OutboxError: there is no storing anything at this place.
    """
    try:
        return _open_sound(path, limits, sources, thorough=thorough)
    except file.TROUBLE as error:
        if not file.is_damage(error):
            raise OutboxError(explain(path, error)) from error
        aside = file.set_aside(path, sources.clock)
        logger.error(  # noqa: TRY400  the message says it all
            "The outbox %s is damaged (%s). It is now %s, and a fresh one begins; what waited in it is not sent.",
            path,
            error,
            aside.name,
        )
    try:
        opened = _open_sound(path, limits, sources, thorough=False)
        opened.store.commit(Batch(losses=(Loss("damaged", None, None, sources.clock()),)))
        return opened
    except file.TROUBLE as error:
        raise OutboxError(explain(path, error)) from error


def explain(path: Path, error: Exception) -> str:
    """Say what an error at this path means and what to do about it."""
    if isinstance(error, OutboxError):
        return str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return f"{path}: {os.strerror(errno.ENOSPC)}: free some space, or lower outbox.max_bytes"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"{path}: cannot be written ({error}): check owner and permissions, and that the disk is not read-only"
    if code == sqlite3.SQLITE_IOERR:
        return f"{path}: the disk fails ({error}): check or replace it"
    return f"{path}: {error}"


def _open_sound(path: Path, limits: Limits, sources: Sources, *, thorough: bool) -> OpenStore:
    store = Store(path, limits, sources)
    try:
        opened = OpenStore(store, Reader(path, epoch=store.epoch, run=store.run))
    except BaseException:
        store.abandon()
        raise
    if thorough or not store.ended_well:
        try:
            opened.reader.check(budget_s=None if thorough else CHECK_S)
        except BaseException:
            opened.abandon()
            raise
    return opened
