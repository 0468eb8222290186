"""Features on disk: written once, row after row, and read back in any order without ever lying in memory as a whole.

The file holds nothing but rows, so its length says how many there are: after a kill in the middle of writing, the next
process cuts off a torn row and goes on from there. Rows are read with ``pread`` and not through a memory map, whose
touched pages would count as the process's memory.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from trainer.locks import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    Rows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FeatureStore:
    """A file of ``rows`` × ``width`` float32 values.

    Attributes:
        path: the file.
        rows: how many there will be when it is complete.
        width: values in each.
    """

    path: Path
    rows: int
    width: int

    @classmethod
    def open(cls, folder: Path, key: str, *, rows: int, width: int) -> Self:
        """The store for a key, new or as an earlier process left it.

        Args:
            folder: made where absent.
            key: names everything that the features depend on; a change of any of it is another key.
            rows: rows of the finished store.
            width: values per row.
        """
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder / f"{key}-{rows}x{width}.f32", rows, width)

    @property
    def done(self) -> int:
        """Whole rows written so far."""
        return self.path.stat().st_size // self._row_bytes if self.path.exists() else 0

    @property
    def complete(self) -> bool:
        """Whether every row is there."""
        return self.done >= self.rows

    @contextlib.contextmanager
    def writing(self, *, block: int = 1) -> Iterator[Writer]:
        """Write what is missing. Other processes wait here meanwhile, and then find nothing left to do.

        Args:
            block: goes on at a multiple of this many rows: a network's last bits depend on what shares a batch.
        """
        with FileLock(self.path.with_suffix(".lock")), self.path.open("ab") as file:
            if not self.complete:
                file.truncate(self.done // block * block * self._row_bytes)
            writer = Writer(file.fileno(), self)
            yield writer
            os.fsync(file.fileno())

    def read(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Rows:
        """Rows in the order asked for, ``(n, width) float32``.

        Raises:
            IndexError: a row is not there (yet).
        """
        found = np.empty((len(indices), self.width), np.float32)
        with self.path.open("rb", buffering=0) as file:
            for row, index in zip(found, indices, strict=True):
                # A negative offset would be an OSError from the kernel, and a short read leaves garbage behind.
                if index < 0 or os.preadv(file.fileno(), [row.data], int(index) * self._row_bytes) < self._row_bytes:
                    raise IndexError(f"{self.path}: has no row {index}")
        return found

    @property
    def _row_bytes(self) -> int:
        return self.width * np.dtype(np.float32).itemsize


class Writer:
    """Appends rows to a store; its holder has the store for itself."""

    def __init__(self, descriptor: int, store: FeatureStore) -> None:
        self._descriptor = descriptor
        self._store = store

    @property
    def done(self) -> int:
        """Rows that are there already."""
        return self._store.done

    def append(self, rows: Rows) -> None:
        """Add ``(n, width) float32`` at the end.

        Raises:
            ValueError: they do not fit the store.
        """
        if rows.ndim != 2 or rows.shape[1] != self._store.width:  # noqa: PLR2004  rows and columns
            raise ValueError(f"rows of shape {rows.shape} do not fit a width of {self._store.width}")
        if self.done + len(rows) > self._store.rows:
            raise ValueError(f"{self._store.path}: more than {self._store.rows} rows")
        left = np.ascontiguousarray(rows, np.float32).data.cast("B")
        while left:
            left = left[os.write(self._descriptor, left) :]
