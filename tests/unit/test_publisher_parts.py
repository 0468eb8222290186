"""The publisher's small parts, without a network."""

from __future__ import annotations

import select

from edge.publisher.connector import Backoff
from edge.throttle import Throttle
from edge.waker import Waker


def test_pauses_grow_to_the_longest_and_start_short_again() -> None:
    backoff = Backoff(0.2, 10.0, chance=lambda: 1.0)
    assert [round(backoff.next_s(), 1) for _ in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    backoff.reset()
    assert backoff.next_s() == 0.2


def test_pauses_are_spread_by_up_to_half() -> None:
    assert Backoff(0.2, 10.0, chance=lambda: 0.0).next_s() == 0.1
    pauses = {Backoff(0.2, 10.0).next_s() for _ in range(100)}
    assert len(pauses) > 90
    assert 0.1 <= min(pauses) <= max(pauses) <= 0.2


def readable(waker: Waker) -> bool:
    return bool(select.select([waker], [], [], 0)[0])


def test_a_waker_stays_awake_until_it_is_cleared() -> None:
    waker = Waker()
    assert not readable(waker)
    for _ in range(100_000):  # more than its socket holds
        waker.wake()
    assert readable(waker)
    waker.clear()
    assert not readable(waker)
    waker.close()
    waker.wake()


def test_a_throttle_lets_each_key_through_once_in_a_while() -> None:
    now_s = 0.0
    throttle = Throttle(60.0, monotonic=lambda: now_s)
    assert [throttle.allows("disk"), throttle.allows("disk"), throttle.allows("broker")] == [True, False, True]
    now_s = 59.0
    assert not throttle.allows("disk")
    now_s = 60.0
    assert throttle.allows("disk")


def test_a_throttle_does_not_grow_without_bound() -> None:
    throttle = Throttle(60.0, monotonic=lambda: 0.0)
    assert sum(throttle.allows(str(number)) for number in range(1000)) == 1000
    assert len(throttle._passed_s) <= 100
