"""Starts the child process that loads somebody's model, and makes a clear message of whatever becomes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from edge.errors import ending
from trainer.saved.errors import SavedModelError, UntrustedModelError
from trainer.saved.protocol import ANSWER_FILE, LOG_FILE, Answer, encode_request

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.saved.protocol import Request

INSPECTION_TIME_LIMIT_S = 60.0
_WORKER = "trainer.saved.worker"
_LOG_TAIL_CHARS = 300


def ask_child(request: Request, *, time_limit_s: float) -> Answer:
    """Have a request done in a process of its own.

    Args:
        request: its folder must exist; the child leaves its files there.
        time_limit_s: after this long the child and all that it started are killed.

    Raises:
        UntrustedModelError: it could run code, and is not trusted.
        SavedModelError: it cannot be done, or the child crashed or took too long.
    """
    order = request.folder / "request.json"
    order.write_bytes(encode_request(request))
    log = request.folder / LOG_FILE
    with log.open("wb") as stream:
        # -P: a file named keras.py beside the model must not be taken for the library.
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", _WORKER, str(order)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""},
        )
        try:
            code = child.wait(time_limit_s)
        except subprocess.TimeoutExpired:
            raise SavedModelError(
                f"{request.path}: gave up after {time_limit_s:.0f} s; if it is merely large, raise --time-limit"
            ) from None
        finally:
            _end(child)
    return _read_answer(request, code, log)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and everything in its session, however we came here; a no-op for one that has ended."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _read_answer(request: Request, code: int, log: Path) -> Answer:
    path = request.folder / ANSWER_FILE
    if code != 0 or not path.exists():
        what = f"was ended by {ending(code)}" if code < 0 else f"failed with {ending(code)}"
        said = " ".join(log.read_bytes().decode("utf-8", "replace").split())[-_LOG_TAIL_CHARS:]
        raise SavedModelError(
            f"{request.path}: the process that loaded it {what}; the file is damaged, too large for this computer's "
            f"memory, or code inside it failed{': … ' + said if said else ''}"
        )
    answer = msgspec.json.decode(path.read_bytes(), type=Answer)
    if answer.failure is not None:
        kind = UntrustedModelError if answer.failure.untrusted else SavedModelError
        raise kind(answer.failure.message)
    return answer
