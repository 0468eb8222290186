"""At what times of day a watch looks."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.watch.schedule import DAYS, Schedule


def at(day: str, hour: int, minute: int = 0) -> time.struct_time:
    """A local time; 5 January 2026 was a Monday."""
    return time.strptime(f"2026-01-{5 + DAYS.index(day):02} {hour:02}:{minute:02}", "%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("entries", "moment", "is_open"),
    [
        ([], at("sun", 3), True),
        (["mon-fri 06:00-20:00"], at("mon", 6), True),
        (["mon-fri 06:00-20:00"], at("fri", 19, 59), True),
        (["mon-fri 06:00-20:00"], at("fri", 20), False),
        (["mon-fri 06:00-20:00"], at("sat", 12), False),
        (["mon-fri 06:00-20:00", "sat 8:00-12:00"], at("sat", 11), True),
        (["sat,sun"], at("sun", 0), True),
        (["Sat, Sun".replace(", ", ",")], at("mon", 0), False),
        (["06:00-24:00"], at("wed", 23, 59), True),
        (["fri-mon"], at("sun", 12), True),
        (["fri-mon"], at("thu", 12), False),
        (["22:00-05:00"], at("tue", 4, 59), True),
        (["22:00-05:00"], at("tue", 5), False),
        (["fri 22:00-05:00"], at("sat", 4), True),
        (["fri 22:00-05:00"], at("fri", 4), False),
    ],
)
def test_when_it_is_open(entries: list[str], moment: time.struct_time, is_open: bool) -> None:
    assert Schedule.parse(entries).is_open(moment) is is_open


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        "monday",
        "mon fri",
        "mon-",
        "6-20",
        "06:00",
        "25:00-26:00",
        "06:60-07:00",
        "06:00-06:00",
        "mon 1:00 2:00",
    ],
)
def test_what_is_no_time_is_refused_with_an_example(entry: str) -> None:
    with pytest.raises(ValueError, match="is no time to look; write days, times or both"):
        Schedule.parse([entry])


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 24), st.sampled_from(DAYS), st.integers(0, 23))
def test_a_span_and_the_rest_of_the_day_make_a_day(hour: int, minute: int, end: int, day: str, now: int) -> None:
    if (hour, minute) == (end, 0) or (hour, minute, end) == (0, 0, 24):
        return
    there = Schedule.parse([f"{hour}:{minute:02}-{end}:00"])
    back = Schedule.parse([f"{end % 24}:00-{hour}:{minute:02}"]) if (end % 24, 0) != (hour, minute) else None
    assert back is None or there.is_open(at(day, now)) is not back.is_open(at(day, now))
