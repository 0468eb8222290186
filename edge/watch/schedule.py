"""Times of day at which a watch looks: ``mon-fri 06:00-20:00``, ``sat,sun``, ``22:00-05:00``. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge.value import Value

if TYPE_CHECKING:
    import time
    from collections.abc import Iterable

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_TIMES = re.compile(r"(\d{1,2}):(\d\d)-(\d{1,2}):(\d\d)")


class Span(Value, frozen=True):
    """A part of some days.

    Attributes:
        days: on which it begins, 0 is Monday.
        start_min, end_min: minutes since midnight; an end before the start lies on the next day.
    """

    days: frozenset[int]
    start_min: int
    end_min: int

    def holds(self, day: int, minute: int) -> bool:
        """Whether that minute of that day is part of it."""
        if self.start_min < self.end_min:
            return day in self.days and self.start_min <= minute < self.end_min
        begun_today = day in self.days and minute >= self.start_min
        return begun_today or ((day - 1) % len(DAYS) in self.days and minute < self.end_min)


class Schedule(Value, frozen=True):
    """When to look, in local time; an empty one is always."""

    spans: tuple[Span, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Schedule:
        """Read entries of the configuration.

        Raises:
            ValueError: an entry is not understood; the message says what is.
        """
        return cls(tuple(_span(entry) for entry in entries))

    def is_open(self, local: time.struct_time) -> bool:
        """Whether to look at that local time."""
        minute = local.tm_hour * 60 + local.tm_min
        return not self.spans or any(span.holds(local.tm_wday, minute) for span in self.spans)


def _span(entry: str) -> Span:
    words = entry.lower().split()
    times = words.pop() if words and ":" in words[-1] else "00:00-24:00"
    match = _TIMES.fullmatch(times)
    days = _days(words[0]) if len(words) == 1 else frozenset(range(len(DAYS))) if entry.strip() and not words else None
    if match is None or days is None:
        raise ValueError(_advice(entry))
    start_hour, start_minute, end_hour, end_minute = map(int, match.groups())
    start_min, end_min = start_hour * 60 + start_minute, end_hour * 60 + end_minute
    is_sound = max(start_minute, end_minute) < 60 and start_min < _DAY_MINUTES and end_min <= _DAY_MINUTES  # noqa: PLR2004  minutes of an hour
    if not is_sound or start_min == end_min:
        raise ValueError(_advice(entry))
    return Span(days, start_min, end_min)


def _days(text: str) -> frozenset[int] | None:
    """``mon-fri``, ``sat,sun``, ``fri-mon``; ``None`` if it is none of these."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if first not in DAYS or last not in DAYS:
            return None
        begin, end = DAYS.index(first), DAYS.index(last)
        found.update((begin + step) % len(DAYS) for step in range((end - begin) % len(DAYS) + 1))
    return frozenset(found)


def _advice(entry: str) -> str:
    return f'{entry!r} is no time to look; write days, times or both, such as "mon-fri 06:00-20:00" or "22:00-05:00"'
