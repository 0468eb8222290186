"""Secrets: in a file of their own, or handed over by systemd; never in the configuration, a log or a command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.errors import SightpostError

PREFIX = "credential:"
"""``credential:NAME`` stands for a file that systemd hands to the service, by LoadCredential= or its like."""

_MAX_LETTERS = 100_000
"""Longer than any secret: the wrong file may be a film, or have no end."""


def locate(name: str, key: str, *, error: type[SightpostError], environment: Mapping[str, str] = os.environ) -> Path:
    """Find the file that the configuration names at ``key``.

    Raises:
        SightpostError: of the class ``error``: it is a credential, and systemd has not handed one over.
    """
    if not name.startswith(PREFIX):
        return Path(name)
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if folder is None:
        raise error(
            f"{key}: {name}: only systemd hands out credentials: name a file, or run as a service with LoadCredential="
        )
    return Path(folder) / name.removeprefix(PREFIX)


def read_secret(name: str, key: str, *, error: type[SightpostError]) -> str:
    """Read the secret in the file that the configuration names at ``key``; without a byte order mark and a line end.

    Raises:
        SightpostError: of the class ``error``: it cannot be read.
    """
    path = locate(name, key, error=error)
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(_MAX_LETTERS).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else "not UTF-8"
        raise error(f"{path}: cannot read the password ({reason}): see {key}") from failure
