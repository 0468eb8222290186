"""Carrying an outbox away: JSON Lines on a disk that may be pulled out a second later."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import TYPE_CHECKING

import msgspec

from edge.errors import OutboxError
from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from edge.outbox.reader import DeadLetter, Reader
    from edge.record import Record

_AT_ONCE = 500
_CHUNK_BYTES = 1 << 20


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of an export.

    Attributes:
        topic: where it would have been published.
        id: of the message; equal to that in the payload, where there is one.
        payload: the message as it would have been sent, or ``payload_base64`` if it is not JSON.
        reason, refused_at_s: of dead letters: what the broker said, and when (UTC seconds since 1970).
    """

    topic: str
    id: str
    payload: msgspec.Raw | None = None
    payload_base64: str | None = None
    reason: str | None = None
    refused_at_s: float | None = None


class Exported(Value, frozen=True):
    """What an export came to; ``last`` is the highest number in it, 0 if it is empty."""

    lines: int
    size_bytes: int
    last: int


def events(reader: Reader) -> Iterator[Record]:
    """All waiting events, in order."""
    number = 0
    while records := reader.events(number, limit=_AT_ONCE):
        yield from records
        number = records[-1].number


def dead_letters(reader: Reader) -> Iterator[DeadLetter]:
    """All dead letters, in order."""
    number = 0
    while letters := reader.dead_letters(number, limit=_AT_ONCE):
        yield from letters
        number = letters[-1].number


def write(items: Iterable[Record | DeadLetter], path: Path) -> Exported:
    """Write a new file, make sure that it is on the disk, and read it back.

    Raises:
        OutboxError: that failed; then there is no such file.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        if path.exists():
            raise OutboxError(f"{path}: is already there; give another name")
        try:
            exported, digest = _write_durably(items, partial)
            if _digest(partial) != digest:
                raise OutboxError(f"{path}: what is read back is not what was written: take another disk")  # noqa: TRY301  likewise
            partial.rename(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise OutboxError(
            f"{path}: cannot write the export ({error.strerror}): is the disk there, writable, and is there space?"
        ) from error
    return exported


def _write_durably(items: Iterable[Record | DeadLetter], path: Path) -> tuple[Exported, bytes]:
    digest, lines, size_bytes, last = hashlib.sha256(), 0, 0, 0
    encoder = msgspec.json.Encoder()
    with path.open("wb", buffering=_CHUNK_BYTES) as stream:
        for item in items:
            line = encoder.encode(_line(item)) + b"\n"
            digest.update(line)
            stream.write(line)
            lines, size_bytes, last = lines + 1, size_bytes + len(line), item.number
        stream.flush()
        os.fsync(stream.fileno())
        # What is read back shall come from the disk, not from memory.
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return Exported(lines, size_bytes, last), digest.digest()


def _line(item: Record | DeadLetter) -> Line:
    try:
        msgspec.json.decode(item.payload)
        line = Line(topic=item.topic, id=item.id, payload=msgspec.Raw(item.payload))
    except (ValueError, RecursionError):  # no JSON, or no UTF-8
        line = Line(topic=item.topic, id=item.id, payload_base64=base64.b64encode(item.payload).decode("ascii"))
    refused_at_s: float | None = getattr(item, "refused_at_s", None)
    if refused_at_s is None:
        return line
    return msgspec.structs.replace(line, reason=getattr(item, "reason", None), refused_at_s=refused_at_s)


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
