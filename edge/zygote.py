"""The process that decoding processes are forked from, as the daemon sees it; ``edge.camera.preload`` is its program.

It has OpenCV loaded, so that a new one takes milliseconds, and they share the memory of what is loaded.

This module lies here, and imports nothing of ours, so that the process can be started before anything else is loaded.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import socket
import sys
import threading

WORDS_BYTES = 1024
"""More than what it says of a process that it has forked."""
_BORN_S = 10.0
"""A process is forked in milliseconds, once what it is forked from has loaded OpenCV."""

# Without ``site``, which would only find again what is in the path already.
_START = ("-S", "-P", "-c", "import sys; sys.path[:] = sys.argv[1:]; from edge.camera.preload import main; main()")


class Forked:
    """A process that was asked for, and what is heard of it. For one thread.

    Args:
        news: from what it is forked from: its number; later how it ended.
    """

    def __init__(self, news: socket.socket) -> None:
        self._news = news
        self._pid: int | None = None  # 0 where none could be made

    @property
    def pid(self) -> int | None:
        """Its number, which may take a while; None where none could be made."""
        self._await_birth(_BORN_S)
        return self._pid or None

    def end(self, timeout_s: float) -> str | None:
        """How it ended, in words, to be asked once; None while it goes on."""
        self._await_birth(timeout_s)
        if self._pid is None or not self._hears(timeout_s):
            return None
        return self._news.recv(WORDS_BYTES).decode() or "what it is forked from has died"

    def kill(self, timeout_s: float) -> None:
        """End it, whatever it is doing, wait for that and forget it. One stuck in a driver stays until that lets go."""
        self._await_birth(timeout_s)
        if self._pid and not self._hears(0):  # while nothing is heard of its end, the number is its own
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._hears(timeout_s)
        self._news.close()

    def _await_birth(self, timeout_s: float) -> None:
        if self._pid is None and self._hears(timeout_s):
            self._pid = int(self._news.recv(WORDS_BYTES) or 0)

    def _hears(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self._news, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))


class Zygote:
    """The process to fork from, which ends with this one. It is started when it is needed, and again if it has died.

    Attributes:
        pid: its number, once it is started.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self.pid = 0

    def warm_up(self) -> None:
        """Start it, without waiting for it to have loaded OpenCV."""
        with self._lock:
            if self._channel is None:
                self._channel = self._launch()

    def fork(self, request: bytes, channel: socket.socket) -> Forked:
        """Have a process forked, without waiting for it.

        Args:
            request: what ``edge.camera.preload`` makes of it: a camera's name and configuration, encoded.
            channel: that process's end of its connection, of which the caller closes its own copy.

        Raises:
            OSError: there are no more processes or descriptors to be had.
        """
        self.warm_up()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, self._lock:
                descriptors = [channel.fileno(), theirs.fileno()]
                try:
                    self._send(request, descriptors)
                except (BrokenPipeError, ConnectionResetError):
                    self._bury()
                    self._channel = self._launch()
                    self._send(request, descriptors)
        except BaseException:
            ours.close()
            raise
        return Forked(ours)

    def _send(self, request: bytes, descriptors: list[int]) -> None:
        if self._channel is None:
            raise BrokenPipeError
        socket.send_fds(self._channel, [request], descriptors)

    def _launch(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            words = [sys.executable, *_START, *sys.path]
            as_stdin = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)]
            try:
                self.pid = os.posix_spawn(sys.executable, words, os.environ, file_actions=as_stdin)
            except BaseException:
                ours.close()
                raise
        return ours

    def _bury(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


@functools.cache
def zygote() -> Zygote:
    """The one of this program."""
    return Zygote()


def warm_up() -> None:
    """Start it, without waiting for it: a daemon that has more to load does this first."""
    zygote().warm_up()
