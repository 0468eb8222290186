"""The state of a training after each epoch, on disk: after ``kill -9`` it goes on there, to the very same weights."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edge.durable import replace_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Arrays = Sequence[npt.NDArray[Any]]


class EpochRecord(msgspec.Struct, frozen=True):
    """One line of the history: the loss in training, and what the validation pictures say."""

    stage: str
    epoch: int
    loss: float
    val_loss: float
    val_accuracy: float
    seconds: float


class Progress(msgspec.Struct, frozen=True):
    """How far a training is: the epochs that are done, and the epoch whose weights were the best."""

    history: tuple[EpochRecord, ...] = ()
    best_epoch: int = -1


class Checkpoint:
    """One file; ``key`` says what training it belongs to, and that of another one is passed over."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key

    def save(self, progress: Progress, groups: dict[str, Arrays]) -> None:
        """Write all of it, or nothing."""
        head = {"key": self._key, "progress": msgspec.to_builtins(progress)}
        flat = {
            f"{name}-{position:05}": array for name, group in groups.items() for position, array in enumerate(group)
        }
        content = io.BytesIO()
        np.savez(content, head=np.frombuffer(json.dumps(head).encode(), dtype=np.uint8), **flat)  # type: ignore[arg-type]  # names are keywords here
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._path, content.getvalue())

    def load(self) -> tuple[Progress, dict[str, list[npt.NDArray[Any]]]] | None:
        """What was saved last, or ``None`` where there is nothing of this training."""
        return self.decode(self.content())

    def content(self) -> bytes:
        """The file as it is; nothing where there is none."""
        try:
            return self._path.read_bytes()
        except OSError:
            return b""

    def decode(self, content: bytes) -> tuple[Progress, dict[str, list[npt.NDArray[Any]]]] | None:
        """What ``save`` wrote, or ``None`` for anything else."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                head = json.loads(file["head"].tobytes())
                if head["key"] != self._key:
                    return None
                groups: dict[str, list[npt.NDArray[Any]]] = {}
                for name in sorted(file.files):
                    if name != "head":
                        groups.setdefault(name.rpartition("-")[0], []).append(file[name])
        except (EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None  # not there, or of a disk that failed: the training begins anew
        return msgspec.convert(head["progress"], Progress), groups
