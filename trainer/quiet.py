"""TensorFlow and its converters chat on standard output and error from C++; nobody who trains a model can act on it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, TextIO

from edge.errors import SightpostError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_STDOUT, _STDERR = 1, 2


def _terminal() -> TextIO:
    """The real standard error in its own encoding; what that lacks, or a file's odd name, does not end the program."""
    return os.fdopen(os.dup(_STDERR), "w", encoding=sys.stderr.encoding, errors="backslashreplace")


@contextlib.contextmanager
def _interruptions() -> Iterator[list[int]]:
    """The Ctrl-C so far: a library that one meets in its C code fails with a SystemError in its stead."""
    seen: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield seen
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[TextIO]:
    """Send file descriptors 1 and 2 aside; yields a stream to the real standard error, for progress.

    What was said is shown after all when something unexpected happens. Imports of TensorFlow belong inside.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(_STDOUT), os.dup(_STDERR)]
    with tempfile.TemporaryFile() as aside, _terminal() as terminal:
        os.dup2(aside.fileno(), _STDOUT)
        os.dup2(aside.fileno(), _STDERR)
        expected = False
        try:
            with _interruptions() as interruptions:
                try:
                    yield terminal
                except SystemError as error:
                    if not interruptions:
                        raise
                    raise KeyboardInterrupt from error
            expected = True
        except (SightpostError, KeyboardInterrupt):
            expected = True
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, copy in zip((_STDOUT, _STDERR), kept, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)
            if not expected:
                aside.seek(0)
                sys.stderr.write(aside.read().decode("utf-8", "replace"))
