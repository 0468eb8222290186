"""The kinds of value that tables share, and what a table is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z"  # $ would let a line break pass
TOPIC_PATTERN = r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\Z"
Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
"""A name that is safe as an MQTT topic level and as a folder."""
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
"""A path, address or name: nothing that an operating system or broker refuses."""
Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400 * 366)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: unknown keys are refused."""


def anchored(path: str | None, base: Path) -> str | None:
    """Make a path absolute, a relative one seen from the folder ``base``; ``credential:NAME`` is systemd's to place."""
    return path if path is None or path.startswith("credential:") else str(base / path)
