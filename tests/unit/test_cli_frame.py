"""What every command line shares."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from typing import TYPE_CHECKING

import pytest

from edge.cli.frame import run_command
from edge.cli.options import parse_input, seconds, whole
from edge.errors import ConfigError, PictureError, UsageError, ending, one_line

if TYPE_CHECKING:
    from collections.abc import Callable


def outcome(run: Callable[[argparse.Namespace], int]) -> int:
    parser = argparse.ArgumentParser(prog="sightpost")
    parser.set_defaults(run=run)
    return run_command(parser, [])


def raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(_: argparse.Namespace) -> int:
        raise error

    return run


def test_an_error_is_one_line_whatever_a_file_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(raising(PictureError("a\n\x1b[31m\u202eb.png: no picture"))) == PictureError.exit_code
    assert capsys.readouterr().err == "sightpost: a\\n\\x1b[31m\\u202eb.png: no picture\n"


@pytest.mark.parametrize("text", ["猫 é 🐈.png", "نمی‌خواهم", "a b", "bad\udcff.png"])
def test_a_line_keeps_every_letter_and_every_byte_of_a_name(text: str) -> None:
    assert one_line(text) == text


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_character_that_the_locale_lacks_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, encoding: str, errors: str
) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding=encoding, errors=errors))

    def run(_: argparse.Namespace) -> int:
        print("full → 猫 \ud800 \udcff")
        return 0

    assert outcome(run) == 0
    assert b"\\udcff" in buffer.getvalue()


def test_a_full_disk_behind_the_output_is_no_fault_of_the_program(capfd: pytest.CaptureFixture[str]) -> None:
    kept = os.dup(1)
    try:
        assert outcome(raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))) == 74
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert capfd.readouterr().err == "sightpost: No space left on device; free some space\n"


def test_another_operating_system_error_is_a_bug_and_shown_whole() -> None:
    with pytest.raises(PermissionError):
        outcome(raising(PermissionError(errno.EACCES, "denied")))


@pytest.mark.parametrize("text", ["0", "65", "-1", "1.5", "x", "", "²", "9" * 30, "9" * 5000, "+-5"])
def test_whole_numbers_outside_the_limits_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="from 1 to 64"):
        whole(1, 64)(text)


def test_whole_numbers_within_them() -> None:
    assert [whole(1, 64)(text) for text in ("1", " 7 ", "64")] == [1, 7, 64]


@pytest.mark.parametrize(
    "text", ["scaling", "=1", "scaling=0..2", "width_px=²", "width_px=0", "colour=rgb", "width_px=" + "9" * 5000]
)
def test_input_settings_that_make_no_sense(text: str) -> None:
    with pytest.raises((UsageError, ConfigError), match=r"^--input"):
        parse_input(text)


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit code 0"), (3, "exit code 3"), (-9, "SIGKILL"), (-35, "signal 35")]
)
def test_how_a_process_ended_has_words_for_every_code(code: int, words: str) -> None:
    assert ending(code) == words


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "3601", "soon", ""])
def test_a_time_that_cannot_pass_ends_with_the_code_of_a_wrong_command_line(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser(prog="sightpost")
    parser.add_argument("--for-s", type=seconds(0, 3600))
    with pytest.raises(SystemExit) as end:
        run_command(parser, [f"--for-s={text}"])
    assert end.value.code == UsageError.exit_code
    assert "give a number of seconds from 0 to 3600" in capsys.readouterr().err
