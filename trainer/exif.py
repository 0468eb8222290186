"""The two things in a JPEG's EXIF header that matter for training: which way up it is, and when it was taken.

TIFF 6.0 section 2 (image file directories) and EXIF 2.3 section 4.6 (tags) describe the layout. A damaged header says
nothing; it never makes a picture unusable.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime

_ORIENTATION, _EXIF_DIRECTORY, _TAKEN_AT = 0x0112, 0x8769, 0x9003
_UPRIGHT = 1
_ENTRY_BYTES = 12
_TIME_BYTES = 19  # 2026:05:01 12:30:00


@dataclass(frozen=True, slots=True)
class Exif:
    """What a camera wrote beside the pixels.

    Attributes:
        orientation: 1 is upright; 2 to 8 ask the reader to turn or mirror the picture.
        taken_s: local time of the exposure in seconds since 1970, as if it were UTC: good for order, not for dates.
    """

    orientation: int = _UPRIGHT
    taken_s: float | None = None


def read_exif(encoded: bytes) -> Exif:
    """EXIF of an encoded picture; the default where it has none."""
    header = _app1(encoded)
    if header is None:
        return Exif()
    try:
        return _parse(header)
    except (struct.error, ValueError):
        return Exif()


def _app1(encoded: bytes) -> bytes | None:
    """The TIFF structure in the segment ``ff e1`` of a JPEG."""
    position = 2
    while encoded[:2] == b"\xff\xd8" and encoded[position : position + 1] == b"\xff":
        marker, length = encoded[position + 1], int.from_bytes(encoded[position + 2 : position + 4], "big")
        if marker == 0xE1 and encoded[position + 4 : position + 10] == b"Exif\0\0":  # noqa: PLR2004  ITU-T T.81
            return encoded[position + 10 : position + 2 + length]
        if marker == 0xDA or length < 2:  # noqa: PLR2004  the pixels begin, or this is no segment
            return None
        position += 2 + length
    return None


def _parse(tiff: bytes) -> Exif:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return Exif()
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    entries = _directory(tiff, start, order)
    orientation = _short(entries[_ORIENTATION], order) if _ORIENTATION in entries else _UPRIGHT
    taken_s = None
    if _EXIF_DIRECTORY in entries:
        offset = _directory(tiff, entries[_EXIF_DIRECTORY], order).get(_TAKEN_AT)
        taken_s = _seconds(tiff[offset : offset + _TIME_BYTES]) if offset else None
    return Exif(orientation if orientation in range(1, 9) else _UPRIGHT, taken_s)


def _directory(tiff: bytes, start: int, order: str) -> dict[int, int]:
    """Tag → value or offset, as the four bytes that an entry has for it."""
    (count,) = struct.unpack_from(order + "H", tiff, start)
    entries = (struct.unpack_from(order + "HHII", tiff, start + 2 + _ENTRY_BYTES * i) for i in range(count))
    return {tag: value for tag, _, _, value in entries}


def _short(value: int, order: str) -> int:
    """A two-byte value, which lies at the left of its four bytes."""
    return value >> 16 if order == ">" else value & 0xFFFF


def _seconds(text: bytes) -> float | None:
    try:
        return datetime.strptime(text.decode("ascii"), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None  # cameras without a clock write blanks or zeros
