"""The program that decoding processes are forked from: it loads what all of them need, once, so that they share it.

Only that process imports this module: it sets environment variables that OpenCV and OpenBLAS read when they are loaded.
"""

import contextlib
import fcntl
import gc
import importlib
import os
import select
import signal
import socket
import traceback
from pathlib import Path
from typing import NoReturn

from edge.errors import ending
from edge.zygote import SIGNALS, WORDS_BYTES

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process that forks must have one thread; decoding does no linear algebra
os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # FFmpeg: quiet; what matters is reported once, by us
os.environ["OPENCV_LOG_LEVEL"] = "SILENT"

REQUEST_BYTES = 65536
"""More than any camera's configuration."""


def main() -> None:
    """Load, and fork whenever the daemon asks for it, until the daemon ends."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _show_as("cameras")
    daemon = _take_stdin()
    gc.disable()  # loading makes no garbage to search for
    # edge.preprocess comes first: it sets a limit that OpenCV reads when it is loaded.
    for name in ("edge.preprocess", "edge.camera.sources", "edge.camera.sight", "edge.camera.worker"):
        importlib.import_module(name)
    gc.enable()
    gc.freeze()  # the collector of a forked process then leaves these objects, and the pages they share, alone
    Nursery(daemon).run()


class Nursery:
    """Forks, and tells of each process its number and how it ended.

    Args:
        daemon: asks, with a connection to the new process and one for what is told of it.
    """

    def __init__(self, daemon: socket.socket) -> None:
        self._daemon = daemon
        self._news: dict[int, socket.socket] = {}
        self._ended, self._noticed = socket.socketpair()
        self._noticed.setblocking(False)  # noqa: FBT003  that is its signature
        signal.set_wakeup_fd(self._noticed.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Serve the daemon to its end."""
        poll = select.poll()
        for connection in (self._daemon, self._ended):
            poll.register(connection, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._ended.fileno() in ready:
                self._ended.recv(WORDS_BYTES)
                self._tell_of_the_dead()
            if self._daemon.fileno() in ready and not self._serve():
                return

    def _serve(self) -> bool:
        request, descriptors, _, _ = socket.recv_fds(self._daemon, REQUEST_BYTES, 2, socket.MSG_CMSG_CLOEXEC)
        if not request:
            return False
        if len(descriptors) != 2:  # noqa: PLR2004  there are no more to be had: whoever has asked finds both closed
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        channel, news = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        with channel:
            try:
                pid = os.fork()
            except OSError as error:
                _say(news, "0")
                _say(news, f"it could not be forked: {error.strerror}")
                news.close()
                return True
            if pid == 0:
                self._live(request, channel, news)
        handle = os.pidfd_open(pid)
        _say(news, str(pid), handle)
        os.close(handle)
        self._news[pid] = news
        return True

    def _live(self, request: bytes, channel: socket.socket, news: socket.socket) -> NoReturn:
        """The whole life of a forked process."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for connection in (self._daemon, self._ended, self._noticed, news, *self._news.values()):
                connection.close()
            import msgspec

            from edge.camera.worker import serve
            from edge.config import CameraConfig

            name, config = msgspec.msgpack.decode(request, type=tuple[str, CameraConfig])
            _show_as(f"camera-{name}")
            serve(config, channel)
            code = 0
        except BaseException:  # noqa: BLE001  the top of a process: nobody else would see it
            traceback.print_exc()
        finally:
            os._exit(code)

    def _tell_of_the_dead(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                with self._news.pop(ended[0]) as news:
                    _say(news, ending(os.waitstatus_to_exitcode(ended[1])))


def _take_stdin() -> socket.socket:
    """The connection to the daemon that came as standard input; of what else came along, only the other two stay."""
    for descriptor in [int(each.name) for each in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2:  # noqa: PLR2004  others' locks and pipes must not live as long as a camera
            with contextlib.suppress(OSError):  # the one that listed them is closed already
                os.close(descriptor)
    daemon = socket.socket(fileno=fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3))
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    for stream in (1, 2):
        try:
            os.fstat(stream)
        except OSError:  # a library that writes there must not write into whatever is opened next
            os.dup2(nothing, stream)
    if nothing > 2:  # noqa: PLR2004
        os.close(nothing)
    return daemon


def _say(news: socket.socket, words: str, handle: int | None = None) -> None:
    with contextlib.suppress(OSError):  # nobody wants to know any more
        socket.send_fds(news, [words.encode()], [] if handle is None else [handle])


def _show_as(name: str) -> None:
    """Have ``top`` and its like show a name instead of ``python``; the kernel takes the first 15 letters of it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)
