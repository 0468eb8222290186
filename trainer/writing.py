"""Durable writing of a text file: the old one stays until the new one is complete on disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edge.errors import ConfigError


def write_durably(path: Path, text: str) -> None:
    """Write UTF-8 text to a temporary file beside the path, flush it to disk, and put it in place.

    Raises:
        ConfigError: the folder is missing or cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", encoding="utf-8", delete=False) as file:
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), 0o644)
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink()
                raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(f"{path}: cannot write it: {error.strerror or error}") from error
