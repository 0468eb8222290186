"""Files that commands write: whether they can be, and there as a whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

from edge.durable import replace_file
from edge.errors import ConfigError, UsageError
from trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def check_out(out: Path, *, option: str = "--out", example: str = "gate.tflite") -> None:
    """Find out before an hour of work whether a file can be written.

    Raises:
        DataError: it cannot.
    """
    folder = out.absolute().parent
    if not out.name or out.is_dir():
        raise DataError(f"{out}: is a folder; name the file to write, e.g. {out / example}")
    if out.exists() and not out.is_file():  # a rename over /dev/null would take it from everybody
        raise DataError(f"{out}: is a device or a pipe, which the file would replace; name a file for {option}")
    if not folder.is_dir():
        raise DataError(f"{out}: its folder does not exist; make it first")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}); choose another place for {option}") from error


def check_apart(paths: Mapping[str, Path | None]) -> None:
    """See that no two of a command's files are the same one, or it would replace the one by the other.

    Args:
        paths: by the option that names each; None where it is not given.

    Raises:
        UsageError: two are the same.
    """
    named: dict[Path, str] = {}
    for option, path in paths.items():
        if path is not None and (other := named.setdefault(path.resolve(), option)) != option:
            raise UsageError(f"{path}: is both {other} and {option}; give each a file of its own")


def check_space(folder: Path, size_bytes: int) -> None:
    """Whether so much fits into a folder.

    Raises:
        OSError: it does not; the command says how much is needed and ends.
    """
    free = shutil.disk_usage(folder).free
    if free < size_bytes:
        room = f"{size_bytes / 1e6:,.1f} MB are needed for a while and {free / 1e6:,.1f} are free"
        needed = f"{os.strerror(errno.ENOSPC)}: {room}"
        raise OSError(errno.ENOSPC, needed, str(folder))


def write_text(path: Path, text: str) -> None:
    """Write a file for people, as ``replace_file`` does.

    Raises:
        ConfigError: the folder is missing or cannot be written.
    """
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot write it: {error.strerror or error}") from error
