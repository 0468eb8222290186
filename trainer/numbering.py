"""What a file's name says about when it was taken: a running number or a time, among pictures named alike."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_CLOCK = re.compile(
    r"(?<!\d)(20\d\d)[-_.]?(\d\d)[-_.]?(\d\d)[-_.T ]{0,2}(\d\d)[-_.:h]?(\d\d)[-_.:m]?(\d\d)(?:[._](\d{1,6}))?(?!\d)"
)
_UNIX = re.compile(r"(?<!\d)(1\d{9})(?:(\d{3})|\.(\d{1,9}))?(?!\d)")
_LAST_NUMBER = re.compile(r"(\d+)(?=\D*$)")


def numbering(stem: str) -> tuple[str, float] | None:
    """The pattern that a name follows, and its position in it; ``None`` for a name without a number.

    ``cam2_00017`` is number 17 of ``cam2_#``; ``gate-1712345678.25-x7k`` and ``gate-20240405_193438`` are seconds of
    ``gate-time``.
    """
    for pattern, seconds in ((_CLOCK, _clock_s), (_UNIX, _unix_s)):
        found = pattern.search(stem)
        position = seconds(found) if found else None
        if found and position is not None:
            return f"{stem[: found.start()]}time", position
    found = _LAST_NUMBER.search(stem)
    if not found:
        return None
    return f"{stem[: found.start()]}#{stem[found.end() :]}", float(found[0])


def _clock_s(found: re.Match[str]) -> float | None:
    try:
        moment = datetime(*(int(text) for text in found.groups()[:6]), tzinfo=UTC)  # type: ignore[arg-type, misc]
    except ValueError:
        return None  # a number that only looks like a date
    return moment.timestamp() + float(f"0.{found[7] or 0}")


def _unix_s(found: re.Match[str]) -> float:
    return int(found[1]) + float(f"0.{found[2] or found[3] or 0}")
