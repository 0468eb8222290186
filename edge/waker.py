"""Waking a thread that waits for sockets."""

from __future__ import annotations

import socket


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
        try:
            while self._reading.recv(4096):
                pass
        except BlockingIOError:
            return

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._reading.fileno()

    def close(self) -> None:
        """Close both ends."""
        self._reading.close()
        self._writing.close()
