"""The number of a connection, by which a host tells the death of this one from that of an earlier one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge.durable import replace_file

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

_MODULUS = 256


class ConnectionCounter:
    """Counts connections from 0 to 255 and round again, across restarts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: int | None = None

    def next(self) -> int:
        """Count one more; a disk that does not take it is no reason not to connect."""
        last = self._read() if self._last is None else self._last
        self._last = 0 if last is None else (last + 1) % _MODULUS
        try:
            replace_file(self._path, str(self._last).encode())
        except OSError as error:
            logger.warning("%s: cannot be written: %s", self._path, error.strerror or error)
        return self._last

    def _read(self) -> int | None:
        try:
            return int(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
