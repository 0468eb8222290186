"""Ctrl-C while a library is at work."""

from __future__ import annotations

import contextlib
import signal

import pytest

from trainer.quiet import quiet_libraries


def fail_as_c_code_does(*, interrupted: bool) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        if interrupted:
            signal.raise_signal(signal.SIGINT)
    raise SystemError("bad argument to internal function")


def test_ctrl_c_that_a_library_turns_into_an_error_of_its_own_is_still_one() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), quiet_libraries():
        fail_as_c_code_does(interrupted=True)
    assert signal.getsignal(signal.SIGINT) is before


def test_such_an_error_without_ctrl_c_is_shown_as_it_is() -> None:
    with pytest.raises(SystemError), quiet_libraries():
        fail_as_c_code_does(interrupted=False)
