"""Waking a thread that waits for sockets, and the waiting."""

from __future__ import annotations

import contextlib
import select
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MANY = 4096


class Readiness:
    """Waits for sockets; the same ones again and again cost little."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._known: dict[int, socket.socket | int] = {}

    def __call__(self, connections: Sequence[socket.socket | int], timeout_s: float) -> list[socket.socket | int]:
        """Wait for one of them, at most so long, and return those that are readable or have ended."""
        wanted = {each if isinstance(each, int) else each.fileno(): each for each in connections}
        if wanted != self._known:  # a number may stand for another socket than before
            for number in self._known:
                with contextlib.suppress(KeyError):
                    self._poll.unregister(number)
            for number in wanted:
                self._poll.register(number, select.POLLIN)
            self._known = wanted
        return [wanted[number] for number, _ in self._poll.poll(timeout_s * 1000)]


class Waker:
    """A socket that becomes readable when another thread calls ``wake``."""

    def __init__(self) -> None:
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)  # noqa: FBT003  that is its signature
        self._writing.setblocking(False)  # noqa: FBT003  that is its signature

    def wake(self) -> None:
        """Wake the thread, or have it not fall asleep. Any thread may call this, at any time."""
        try:
            self._writing.send(b"!")
        except OSError:
            return  # full, so it will wake; or closed, so there is nobody to wake

    def clear(self) -> None:
        """Be unreadable until the next ``wake``."""
        with contextlib.suppress(BlockingIOError):
            while len(self._reading.recv(_MANY)) == _MANY:  # all of it in one call, as nearly always
                pass

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._reading.fileno()

    def close(self) -> None:
        """Close both ends."""
        self._reading.close()
        self._writing.close()
