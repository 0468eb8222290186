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
import time

WORDS_BYTES = 1024
"""More than what it says of a process that it has forked."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""They mean the daemon, whoever else they reach: cameras end with it, and go on when it reads its configuration."""
_BORN_S = 10.0
"""A process is forked in milliseconds, once what it is forked from has loaded OpenCV."""
_HUNG_S = 60.0
"""What owes a process for so long hangs; a slow card takes seconds to load OpenCV from."""
_FINDERS = 3
"""What Python finds modules with by itself: built in, frozen, and in the path."""
_START = "import sys; sys.path[:] = sys.argv[1:]; from edge.camera.preload import main; main()"


class Forked:
    """A process that was asked for, and what is heard of it. For one thread.

    Args:
        news: from what it is forked from: its number, with a handle on it; later how it ended.
    """

    def __init__(self, news: socket.socket) -> None:
        self._news = news
        self._pid: int | None = None  # 0 where none could be made
        self._handle: int | None = None

    @property
    def pid(self) -> int | None:
        """Its number, which may take a while; None where none could be made."""
        self._await_birth(_BORN_S)
        return self._pid or None

    @property
    def is_owed(self) -> bool:
        """Whether nothing is known of it yet."""
        if self._news.fileno() >= 0:
            self._await_birth(0.0)
        return self._pid is None

    def end(self, timeout_s: float) -> str | None:
        """How it ended, in words, to be asked once; None while it goes on."""
        self._await_birth(timeout_s)
        if self._pid is None or not self._hears(timeout_s):
            return None
        return self._news.recv(WORDS_BYTES).decode() or "what it is forked from has died"

    def kill(self, timeout_s: float) -> None:
        """End it, whatever it is doing, wait for that and forget it. One stuck in a driver stays until that lets go.

        One that is not there yet will find its connection closed, and end by itself.
        """
        self._await_birth(0.0)
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            self._hears(timeout_s)
            os.close(self._handle)
            self._handle = None
        self._news.close()

    def _await_birth(self, timeout_s: float) -> None:
        if self._pid is None and self._hears(timeout_s):
            number, handles, _, _ = socket.recv_fds(self._news, WORDS_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
            self._pid = int(number or 0)
            self._handle = handles[0] if handles else None

    def _hears(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self._news, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))


class Zygote:
    """The process to fork from, which ends with this one.

    It is started when it is needed, and again if it has died or hangs.

    Attributes:
        pid: its number, once it is started.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._last: Forked | None = None
        self._owing_s = 0.0  # since when it has brought forth nothing, unless the last has been heard of
        self.pid = 0

    def warm_up(self) -> None:
        """Start it, without waiting for it to have loaded OpenCV."""
        with self._lock:
            self._running()

    def fork(self, request: bytes, channel: socket.socket) -> Forked:
        """Have a process forked, without waiting for it.

        Args:
            request: what ``edge.camera.preload`` makes of it: a camera's name and configuration, encoded.
            channel: that process's end of its connection, of which the caller closes its own copy.

        Raises:
            OSError: there are no more processes or descriptors to be had.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, self._lock:
                if self._hangs():
                    self.stop()
                descriptors = [channel.fileno(), theirs.fileno()]
                try:
                    socket.send_fds(self._running(), [request], descriptors)
                except (BrokenPipeError, ConnectionResetError, BlockingIOError):
                    self.stop()
                    socket.send_fds(self._running(), [request], descriptors)
        except BaseException:
            ours.close()
            raise
        forked = Forked(ours)
        if self._last is None or not self._last.is_owed:
            self._owing_s = time.monotonic()
        self._last = forked
        return forked

    def stop(self) -> None:
        """End it, whatever it is doing; what was forked from it goes on. It is started again when it is needed."""
        if self._channel is None:
            return
        self._channel.close()
        self._channel, self._last = None, None
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)  # it has not been waited for, so the number is its own
            os.waitpid(self.pid, 0)

    def _running(self) -> socket.socket:
        """The connection to it."""
        if self._channel is None:
            self._channel = self._launch()
        return self._channel

    def _hangs(self) -> bool:
        return self._last is not None and self._last.is_owed and time.monotonic() - self._owing_s > _HUNG_S

    def _launch(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003  that is its signature
        with theirs:
            words = [sys.executable, *_options(), "-c", _START, *sys.path]
            as_stdin = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)]
            try:
                self.pid = os.posix_spawn(sys.executable, words, os.environ, file_actions=as_stdin, setsigmask=SIGNALS)
            except BaseException:
                ours.close()
                raise
        return ours


def _options() -> list[str]:
    """As this program was started; without ``site``, which only finds what is in the path, unless it hooks imports."""
    options = ["-P"] if len(sys.meta_path) > _FINDERS else ["-P", "-S"]
    if sys.flags.isolated:
        return [*options, "-I"]
    return [*options, "-E"] if sys.flags.ignore_environment else options


@functools.cache
def zygote() -> Zygote:
    """The one of this program."""
    return Zygote()


def warm_up() -> None:
    """Start it, without waiting for it: a daemon that has more to load does this first."""
    with contextlib.suppress(OSError):  # the first camera tries again, and says why it cannot be started
        zygote().warm_up()
