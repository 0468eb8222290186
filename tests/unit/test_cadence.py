"""A watch's own beat: when it looks, and what it has to leave out."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from edge.watch.cadence import OFF_SCHEDULE, PAUSED, Cadence


def test_beats_that_passed_before_anyone_came_are_missed() -> None:
    cadence = Cadence(1.0)
    cadence.ordered(50.0)
    cadence.looked(50.0, 0)
    assert cadence.missed == 0, "the first look is never late"
    cadence.ordered(53.5)
    cadence.ordered(53.6)
    cadence.looked(53.7, 1)
    assert cadence.missed == 2
    assert cadence.due_s == 54.7


def test_a_frame_that_comes_late_is_the_cameras_affair() -> None:
    cadence = Cadence(1.0)
    cadence.looked(50.0, 0)
    cadence.ordered(51.0)
    cadence.looked(58.0, 1)
    assert cadence.missed == 0


def test_where_every_frame_is_wanted_those_between_two_looks_are_missed() -> None:
    cadence = Cadence(0.0)
    for number in (3, 4, 7, 8):
        cadence.looked(number / 10, number)
    assert cadence.missed == 2
    assert cadence.due_s == -math.inf


def test_what_passed_while_it_rested_was_not_wanted() -> None:
    for interval_s in (0.0, 1.0):
        cadence = Cadence(interval_s)
        cadence.looked(50.0, 0)
        cadence.rest(PAUSED)
        assert cadence.due_s == math.inf
        cadence.wake(PAUSED)
        cadence.ordered(90.0)
        cadence.looked(90.0, 400)
        assert cadence.missed == 0


def test_it_rests_while_there_is_any_reason() -> None:
    cadence = Cadence(1.0)
    cadence.rest(PAUSED)
    cadence.rest(OFF_SCHEDULE)
    cadence.wake(PAUSED)
    assert (cadence.resting, cadence.due_s) == (OFF_SCHEDULE, math.inf)
    cadence.wake(OFF_SCHEDULE)
    assert cadence.resting is None


@given(st.lists(st.floats(0.001, 5.0), max_size=50), st.floats(0.1, 3.0))
def test_it_never_looks_more_often_than_asked_and_owes_nothing(steps: list[float], interval_s: float) -> None:
    cadence, now_s, looks = Cadence(interval_s), 100.0, 0
    for step_s in steps:
        now_s += step_s
        if cadence.due_s <= now_s:
            cadence.ordered(now_s)
            cadence.looked(now_s, looks)
            looks += 1
            assert now_s < cadence.due_s <= now_s + interval_s * (1 + 1e-9)
    if looks:
        passed = (now_s - 100.0) / interval_s
        assert looks + cadence.missed <= passed + 1 + 1e-6
