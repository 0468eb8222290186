"""What every command line of Sightpost shares: parsing, and errors as one line with their exit code."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
from typing import TYPE_CHECKING

from edge.errors import SightpostError, UsageError, one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
OUTPUT_LOST = 74  # EX_IOERR of sysexits.h


def run_command(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Parse the arguments and run the sub-command's ``run``; the exit code.

    What an operator can act on is printed as one line on standard error; anything else is a bug, shown whole.
    """
    _mend_standard_streams()
    arguments = _parsed(parser, argv)
    try:
        exit_code = int(arguments.run(arguments))
        sys.stdout.flush()
    except SightpostError as error:
        complain(parser.prog, error)
        return error.exit_code
    except KeyboardInterrupt:
        complain(parser.prog, "interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has left
        _discard_output()
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _discard_output()
        complain(parser.prog, f"{error.strerror}{f': {error.filename}' if error.filename else ''}; free some space")
        return OUTPUT_LOST
    return exit_code


def _parsed(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """As argparse does it, but that a wrong command line ends with the code that systemd takes for one."""
    try:
        return parser.parse_args(argv)
    except SystemExit as end:
        raise SystemExit(UsageError.exit_code if end.code else 0) from None


def complain(program: str, problem: object) -> None:
    """Print a problem on standard error, as one line whatever is in it."""
    with contextlib.suppress(OSError):  # nobody hears it; the exit code says it as well
        print(f"{program}: {one_line(str(problem))}", file=sys.stderr)


def print_json(fields: object, *, indent: int | None = None) -> None:
    """Print JSON, at once, in letters that the output takes; what it lacks is escaped as JSON has it."""
    text = json.dumps(fields, ensure_ascii=False, indent=indent)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(fields, indent=indent)
    print(text, flush=True)


def _mend_standard_streams() -> None:
    """See that there are three of them and that they take any text.

    A supervisor may have closed some; the next file that is opened, the outbox say, would take their place. And a
    terminal or locale that lacks a character shall get its number instead of ending the program.
    """
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in {"strict", "surrogateescape"}:
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Python would fail once more when it flushes at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
