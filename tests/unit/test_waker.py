"""Waiting for sockets."""

from __future__ import annotations

import multiprocessing.connection
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from edge.waker import Readiness, Waker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@pytest.fixture(params=[Readiness, lambda: multiprocessing.connection.wait], ids=["ours", "multiprocessing"])
def wait(request: pytest.FixtureRequest) -> Callable[[list[socket.socket | int], float], Sequence[object]]:
    made: Callable[[list[socket.socket | int], float], Sequence[object]] = request.param()
    return made


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair() for _ in range(3)]
    yield made
    for pair in made:
        for end in pair:
            end.close()


def test_those_that_are_readable_or_ended_are_returned_as_they_were_given(
    wait: Callable[[list[socket.socket | int], float], Sequence[object]],
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    (first, to_first), (second, to_second), (third, _) = pairs
    everyone: list[socket.socket | int] = [first, second.fileno(), third]
    assert list(wait(everyone, 0.0)) == []
    to_second.send(b"!")
    assert list(wait(everyone, 5.0)) == [second.fileno()]
    to_first.close()
    assert set(wait(everyone, 5.0)) == {first, second.fileno()}
    assert list(wait([third], 0.0)) == []


def test_a_socket_that_got_the_number_of_a_closed_one_is_waited_for(
    wait: Callable[[list[socket.socket | int], float], Sequence[object]],
) -> None:
    old, to_old = socket.socketpair()
    number = old.fileno()
    assert list(wait([old], 0.0)) == []
    old.close()
    to_old.close()
    new, to_new = socket.socketpair()
    with new, to_new:
        assert number in {new.fileno(), to_new.fileno()}
        reading, writing = (new, to_new) if new.fileno() == number else (to_new, new)
        assert list(wait([reading], 0.0)) == []
        writing.send(b"!")
        assert list(wait([reading], 5.0)) == [reading]


def test_what_is_woken_often_before_it_waits_is_woken_once() -> None:
    waker, wait = Waker(), Readiness()
    for _ in range(10_000):  # more than is read at once
        waker.wake()
    assert list(wait([waker.fileno()], 0.0)) == [waker.fileno()]
    waker.clear()
    assert list(wait([waker.fileno()], 0.0)) == []
    threading.Timer(0.05, waker.wake).start()
    assert list(wait([waker.fileno()], 5.0)) == [waker.fileno()]
    waker.close()
