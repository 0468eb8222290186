"""Files for people, there as a whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.durable import replace_file
from edge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a file for people, as ``replace_file`` does.

    Raises:
        ConfigError: the folder is missing or cannot be written.
    """
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot write it: {error.strerror or error}") from error
