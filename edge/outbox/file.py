"""The outbox's file as a file: made, opened, checked for damage, and set aside when it is beyond use."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edge.errors import OutboxError, OutboxInUseError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE ledger(name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sequences(topic TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE events(
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
    size INTEGER NOT NULL, priority INTEGER NOT NULL, clock_s REAL NOT NULL, monotonic_s REAL NOT NULL,
    run INTEGER NOT NULL);
CREATE INDEX expendable ON events(number) WHERE priority = 0;
CREATE TABLE states(
    topic TEXT PRIMARY KEY, id TEXT NOT NULL, payload BLOB NOT NULL, clock_s REAL NOT NULL, monotonic_s REAL NOT NULL,
    run INTEGER NOT NULL, dirty INTEGER NOT NULL);
CREATE TABLE dead_letters(
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
    size INTEGER NOT NULL, clock_s REAL NOT NULL, reason TEXT NOT NULL, refused_at_s REAL NOT NULL);
"""
_GAPS = """
CREATE TABLE gaps(
    cause TEXT PRIMARY KEY, count INTEGER, since_s REAL, until_s REAL NOT NULL, topics TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX kept ON events(number) WHERE priority = 2;
"""
_PAGE_BYTES = 4096
_WAL_BYTES = 8_000_000
_KEPT_ASIDE = 2
"""How many damaged files are kept for whoever wants to look: a dying card must not fill itself with them."""


class DamagedStoreError(Exception):
    """The file is no sound store of this version: it must be set aside."""


TROUBLE = (sqlite3.Error, DamagedStoreError, UnicodeDecodeError)
"""What opening and reading may raise; the last one comes from SQLite's words about a schema that is no text."""


def connect(path: Path, *, max_bytes: int, new_epoch: str) -> sqlite3.Connection:
    """Open the file for writing, or make it, durable from the first transaction on.

    Raises:
        DamagedStoreError: the file is there but is no store of this version.
        sqlite3.Error: anything else that SQLite has to say.
    """
    connection = _connection(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        # Room for indexes, dead letters and half-empty pages. At this limit, other than on a full disk, deleting works.
        connection.execute(f"PRAGMA max_page_count = {(2 * max_bytes + 16_000_000) // _PAGE_BYTES}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            _create(connection, new_epoch)
        elif version == 1:
            connection.executescript(f"BEGIN IMMEDIATE; {_GAPS} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise DamagedStoreError(f"its layout is version {version}, this program's is {SCHEMA_VERSION}")  # noqa: TRY301  closes
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a second connection, which only reads and never waits for the first."""
    connection = _connection(path)
    try:
        connection.execute("PRAGMA query_only = 1")
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # opens its files while they are there
    except BaseException:
        connection.close()
        raise
    return connection


def identify(connection: sqlite3.Connection) -> str:
    """Read the epoch of an open store.

    Raises:
        DamagedStoreError: it is no store of this version.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise DamagedStoreError(f"its layout is version {version}, this program's is {SCHEMA_VERSION}")
    return str(connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0])


def check(connection: sqlite3.Connection, *, budget_s: float | None) -> None:
    """Look for damage: thoroughly, or for at most ``budget_s`` seconds: a large store on a slow card takes minutes.

    Raises:
        DamagedStoreError: there is some.
    """
    if budget_s is not None:
        deadline = time.monotonic() + budget_s
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 1000)
    try:
        pragma = "PRAGMA integrity_check(3)" if budget_s is None else "PRAGMA quick_check(3)"
        findings = [row[0] for row in connection.execute(pragma)]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        connection.set_progress_handler(None, 0)
    if findings != ["ok"]:
        raise DamagedStoreError("; ".join(findings))


def is_damage(error: Exception) -> bool:
    """Tell damage to the file from trouble with the disk or the caller."""
    codes = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
    if isinstance(error, DamagedStoreError | UnicodeDecodeError):
        return True
    if isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode"):
        return True  # not from SQLite but from Python: a text in it is no UTF-8
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes


def set_aside(path: Path, clock: Callable[[], float]) -> Path:
    """Rename a damaged file, with its log, to a name with the time in it; of those, the newest are kept.

    Raises:
        OutboxError: the folder does not let it.
    """
    when = datetime.fromtimestamp(clock(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.damaged-{when}")
    try:
        for suffix in ("", "-wal"):
            if path.with_name(path.name + suffix).exists():
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
        # By age and not by name: the clock may have been wrong.
        earlier = sorted(path.parent.glob(f"{path.name}.damaged-*Z"), key=lambda file: file.stat().st_mtime_ns)
        for file in [file for file in earlier if file != aside][: -_KEPT_ASIDE + 1 or None]:
            file.unlink()
            file.with_name(file.name + "-wal").unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise OutboxError(f"{path}: it is damaged and cannot be set aside ({error.strerror}); move it away") from error
    return aside


def lock(path: Path) -> int:
    """Make sure that no other process works on this file; returns a descriptor that keeps it so until it is closed.

    The lock belongs to this process alone: children that outlive it (camera processes) do not hold it.

    Raises:
        OutboxError: another process has it, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_name(path.name + "-lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OutboxError(f"{path.parent}: cannot write here ({error.strerror}); check device.state_dir") from error
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise OutboxInUseError(
            f"{path}: another sightpost is using it; stop that one, or give this one its own"
        ) from error
    return descriptor


def in_use(path: Path) -> bool:
    """Whether another process has the lock; not to be asked by the one that has it."""
    try:
        descriptor = os.open(path.with_name(path.name + "-lock"), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _connection(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)


def _create(connection: sqlite3.Connection, epoch: str) -> None:
    meta = {"epoch": epoch, "run": "0", "clean": "1", "last_batch": ""}
    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {_GAPS} PRAGMA user_version = {SCHEMA_VERSION};")
    connection.executemany("INSERT INTO meta VALUES(?, ?)", meta.items())
    connection.execute("COMMIT")
