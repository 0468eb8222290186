"""The few ways in which Sightpost fails, each with the exit code that an operator or systemd sees.

Codes follow sysexits.h, so that ``RestartPreventExitStatus=`` in a systemd unit can name those a restart cannot cure.
A message says what was wrong, where, and what to do about it; it is printed as one line, never with a traceback.
"""

from __future__ import annotations

import re
import signal
from typing import ClassVar

# Control characters, line ends, and what turns the direction of writing around.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class SightpostError(Exception):
    """Anything that an operator can understand and act on."""

    exit_code: ClassVar[int] = 1


class UsageError(SightpostError):
    """The command line asks for something impossible."""

    exit_code = 64


class PictureError(SightpostError):
    """A file is no picture, or a damaged or oversized one."""

    exit_code = 65


class ModelFileError(SightpostError):
    """A model file is damaged, disagrees with itself, or does not do on this device what it did in training."""

    exit_code = 65


class CameraError(SightpostError):
    """A camera or recording cannot be opened or has stopped delivering."""

    exit_code = 66


class UnsupportedSourceError(CameraError):
    """This installation cannot read such a source; trying again cannot help."""


class BrokerError(SightpostError):
    """The MQTT broker cannot be reached or refuses us."""

    exit_code = 69


class OutboxError(SightpostError):
    """The outbox cannot be opened or written."""

    exit_code = 74


class OutboxInUseError(OutboxError):
    """Another process works on this outbox."""


class ConfigError(SightpostError):
    """The configuration is wrong; restarting will not help (EX_CONFIG)."""

    exit_code = 78


def one_line(text: str) -> str:
    """Text as a line can hold it: labels and the names of files may hold line breaks and terminal commands."""
    return _UNFIT.sub(lambda match: ascii(match[0])[1:-1], text)


def ending(code: int) -> str:
    """Say how a process ended: ``exit code 3``, or ``SIGKILL`` for the code -9; real-time signals have no names."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
