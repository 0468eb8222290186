"""Why a stream does not open: OpenCV says only that it does not, FFmpeg in it writes the reason to standard error."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edge.native_stderr import native_stderr_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEARD_BYTES = 65536
_ANSWER = re.compile(r"\bfailed: ([1-5]\d\d)\b")
_NO_CONNECTION = re.compile(r"\bConnection to \S+ failed: ([A-Z][a-z ]{4,40})$", re.MULTILINE)
_UNTRUSTED = re.compile(r"certificate verify failed|verify peer certificate|failed verification")
UNTRUSTED = (
    "its certificate is signed by nobody that this system trusts, or is another host's; "
    "verify_tls = false takes it all the same"
)
_NO_HOST = re.compile(r"\bFailed to resolve hostname ")
_HINTS = {
    "401": "; see username and password_file",
    "403": "; see username and password_file",
    "404": "; see the path in source",
    "453": "; has it too many viewers?",
    "503": "; has it too many viewers?",
}


@contextmanager
def overhearing() -> Iterator[Callable[[], str | None]]:
    """Keep what is written to standard error in this block; gives what says the reason that has been written so far.

    Only for a decoding process, which says nothing there. OpenCV reads how much FFmpeg shall say when the process opens
    its first stream: with a level it goes to standard output, without one errors go to standard error.
    """
    os.environ.pop("OPENCV_FFMPEG_LOGLEVEL", None)
    ear = os.memfd_create("ffmpeg")
    try:
        with native_stderr_to(ear):
            yield lambda: reason_in(os.pread(ear, _HEARD_BYTES, 0).decode(errors="replace"))
    finally:
        os.close(ear)


def reason_in(text: str) -> str | None:
    """Why FFmpeg could not open a stream, without the address, which may hold a password; ``None`` if unsaid."""
    if answers := _ANSWER.findall(text):
        return f"it answers {answers[-1]}{_HINTS.get(answers[-1], '')}"
    if _UNTRUSTED.search(text):
        return UNTRUSTED
    if _NO_HOST.search(text):
        return "the name of its host is not known here; see source, and this computer's DNS"
    if failure := _NO_CONNECTION.search(text):
        return f"{failure[1]}; is it on, and are address and port in source right?"
    return None
