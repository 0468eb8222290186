"""Where what was taught is kept: ``taught/<watch>.json`` in the state directory, one direction per picture."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge.answer import STALE, UNKNOWN
from edge.durable import replace_file
from edge.errors import SightpostError
from edge.packed import PackedArray
from edge.strict import is_utf8
from edge.vectors import pack, unit, unpack
from edge.watch.taught import Taught, direction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from edge.model import Model
    from edge.watch.taught import Vectors

LESSON_FORMAT = 1
FOLDER = "taught"
SHOTS_MAX = 200
"""Pictures kept for each label; the oldest go. More bring nothing that a mean does not have."""
LABELS_MAX = 100


class _Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """The file.

    Attributes:
        format: version of its layout.
        model: SHA-256 of the model file that gave the vectors; those of another model mean something else.
        shots: by label, ``(n, d)``, directions as ``edge.watch.taught`` makes them, the oldest first.
    """

    format: int = LESSON_FORMAT
    model: str
    shots: dict[str, PackedArray]


class Lessons:
    """What one watch was taught. Any process may write the file; who reads it sees all of a lesson or nothing of it.

    Args:
        path: of the file; see ``lessons_path``.
        model: that gives the vectors.
    """

    def __init__(self, path: Path, model: Model) -> None:
        self._path = path
        self._model = model
        self._read: tuple[int, int] | None = None

    def has_changed(self) -> bool:
        """Whether the file is another than the one that ``taught`` last read."""
        return self._stamp() != self._read

    def taught(self) -> Taught:
        """Learn from the file; nothing where there is none.

        Raises:
            SightpostError: the file is damaged, or was made with another model: teach anew.
        """
        self._read = self._stamp()
        return Taught.of(self.shots())

    def shots(self) -> dict[str, Vectors]:
        """The vectors of the pictures, by label.

        Raises:
            SightpostError: as ``taught``.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SightpostError(f"{self._path}: cannot be read: {error.strerror or error}") from error
        try:
            lesson = msgspec.json.decode(content, type=_Lesson)
            shots = {label: unpack(packed) for label, packed in lesson.shots.items()}
            sizes = {vectors.shape[1] for vectors in shots.values()}
            is_sound = lesson.format == LESSON_FORMAT and all(map(len, shots.values())) and len(sizes) <= 1
        except (msgspec.DecodeError, ValueError, IndexError):
            is_sound = False
        if not is_sound:
            raise SightpostError(f"{self._path}: damaged, or of a newer sightpost; remove it and teach anew")
        if lesson.model != self._model.file.sha256:
            raise SightpostError(
                f"{self._path}: was taught with another model than {self._model.file.path}; "
                "remove it and teach anew, or go back to that model"
            )
        return {label: _units(vectors) for label, vectors in shots.items()}

    def add(self, label: str, embeddings: Sequence[npt.NDArray[np.float32]]) -> int:
        """Teach a label some more pictures; how many it has then.

        Raises:
            SightpostError: the file cannot be read or written, or there are too many labels.
        """
        fresh = np.stack([direction(embedding) for embedding in embeddings])
        with self._alone():
            shots = self.shots()
            shots[label] = np.concatenate([shots[label], fresh])[-SHOTS_MAX:] if label in shots else fresh[-SHOTS_MAX:]
            if len(shots) > LABELS_MAX:
                raise SightpostError(f"{self._path}: has {LABELS_MAX} labels already; forget one, or train a model")
            self._write(shots)
        return len(shots[label])

    def forget(self, label: str) -> bool:
        """Forget a label; whether there was such a one.

        Raises:
            SightpostError: the file cannot be read or written.
        """
        with self._alone():
            shots = self.shots()
            was_there = shots.pop(label, None) is not None
            if was_there:
                self._write(shots)
        return was_there

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes lessons meanwhile, neither another process nor another thread of this one."""
        with contextlib.ExitStack() as ending:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                folder = os.open(self._path.parent, os.O_RDONLY)
                ending.callback(os.close, folder)
                fcntl.flock(folder, fcntl.LOCK_EX)
            except OSError as error:
                raise self._unwritable(error) from error
            yield

    def _write(self, shots: dict[str, Vectors]) -> None:
        packed = {label: pack(vectors, "float16") for label, vectors in shots.items()}
        lesson = _Lesson(model=self._model.file.sha256, shots=packed)
        try:
            replace_file(self._path, msgspec.json.encode(lesson))
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> SightpostError:
        return SightpostError(f"{self._path}: cannot be written: {error.strerror or error}")

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


def fault_of(label: str) -> str | None:
    """Why nothing can be taught under a label; ``None`` where something can."""
    if not label.strip():
        return "is empty"
    if label in (UNKNOWN, STALE):
        return "has a meaning of its own"
    if not is_utf8(label):
        return "is no UTF-8 text"
    return None


def lessons_path(state_dir: str, watch: str) -> Path:
    """Where the lessons of a watch lie."""
    return Path(state_dir) / FOLDER / f"{watch}.json"


def _units(vectors: npt.NDArray[np.float32]) -> Vectors:
    return np.stack([unit(vector) for vector in vectors])
