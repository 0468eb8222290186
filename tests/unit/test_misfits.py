"""Who is to blame when a broker hangs up, and how fast a backlog may go."""

from __future__ import annotations

import pytest

from edge.publisher.misfits import Misfits
from edge.publisher.pace import Pace
from edge.record import Record, Stamp


def record(id_: str, *, retain: bool = False) -> Record:
    return Record(1, id_, f"topic/{id_[0]}", b"", retain, "epoch", Stamp(0.0, 0.0), earlier=False)


def test_three_hang_ups_on_one_message_are_enough() -> None:
    misfits = Misfits(20)
    assert not misfits.alone
    assert [misfits.hung_up(record("a"), listening=True, code=None) for _ in range(3)] == [False, False, True]
    assert misfits.alone


def test_a_state_that_was_refused_is_not_said_again_until_it_changes() -> None:
    misfits = Misfits(20)
    misfits.convict(record("a", retain=True))
    assert misfits.is_guilty(record("a", retain=True))
    assert not misfits.is_guilty(record("a2", retain=True))


def test_what_was_refused_and_is_not_stored_is_tried_again_after_a_while() -> None:
    misfits = Misfits(20)
    misfits.deny("status", 100.0)
    assert misfits.is_denied("status", 101.0)
    assert not misfits.is_denied("other", 101.0)
    assert not misfits.is_denied("status", 701.0)


def test_one_that_is_taken_in_the_end_is_innocent() -> None:
    misfits = Misfits(20)
    for _ in range(10):
        for _ in range(2):
            assert not misfits.hung_up(record("a"), listening=True, code=None)
        misfits.acknowledged(record("a"))


def test_a_broker_that_takes_nothing_at_all_proves_nothing() -> None:
    misfits = Misfits(20)
    assert not any(misfits.hung_up(record("a"), listening=False, code=None) for _ in range(10))


@pytest.mark.parametrize("code", [139, 141, 142])
def test_a_broker_that_ends_for_reasons_of_its_own_blames_nobody(code: int) -> None:
    misfits = Misfits(20)
    assert not any(misfits.hung_up(record("a"), listening=True, code=code) for _ in range(10))
    assert not misfits.alone


def test_care_is_taken_until_a_window_full_is_through() -> None:
    misfits = Misfits(3)
    misfits.hung_up(record("a"), listening=True, code=None)
    for name in "abc":
        assert misfits.alone
        misfits.acknowledged(record(name))
    assert not misfits.alone


def test_what_was_taken_before_is_innocent_but_a_reason_for_care_as_its_acknowledgement_was_lost() -> None:
    misfits = Misfits(20)
    misfits.repeated.add("a")
    assert not any(misfits.hung_up(record("a"), listening=True, code=None) for _ in range(10))
    assert misfits.alone


def test_a_refused_state_is_buried_once() -> None:
    misfits = Misfits(3)
    state = record("s1", retain=True)
    assert misfits.is_new(state)
    assert not misfits.is_new(state)
    assert misfits.is_new(record("s2", retain=True))
    assert misfits.is_new(record("e"))
    assert misfits.is_new(record("e"))


def test_a_pace_is_kept_over_any_time() -> None:
    pace, now_s, gone = Pace(50.0, 0.0), 0.0, 0
    while now_s < 10.0:
        wait_s = pace.wait_s(now_s)
        if wait_s == 0.0:
            pace.spend()
            gone += 1
        now_s += max(wait_s, 1e-6)
    assert 500 <= gone <= 506


def test_idle_time_is_not_saved_up() -> None:
    pace = Pace(100.0, 0.0)
    at_once = 0
    while pace.wait_s(1000.0) == 0.0:
        pace.spend()
        at_once += 1
    assert at_once == 10


def test_no_pace_lets_everything_through() -> None:
    pace = Pace(0.0, 0.0)
    for _ in range(1000):
        assert pace.wait_s(0.0) == 0.0
        pace.spend()
