"""The owner's pictures: one folder per class, checked before anything is trained on them, and split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import PictureError
from edge.preprocess import PICTURE_SUFFIXES, read_picture
from trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from edge.frame import Image

MIN_PICTURES_PER_CLASS = 4
"""Fewer cannot be split into a part to learn from and a part to be judged on."""
_LISTED = 5  # as many file names as a person reads in one message


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture file and the indices of its classes."""

    path: Path
    labels: tuple[int, ...]
    group: int = -1

    @property
    def label(self) -> int:
        """The first of its classes, where it has one only."""
        return self.labels[0]


@dataclass(frozen=True, slots=True)
class DataSet:
    """Readable pictures by class.

    Attributes:
        labels: class names in the order of the model's outputs, sorted.
        samples: all readable pictures, sorted by path.
        rejected: one message per file that was left out.
        fingerprint: SHA-256 over relative names and contents: the same pictures give the same one.
    """

    root: Path
    labels: tuple[str, ...]
    samples: tuple[Sample, ...]
    rejected: tuple[str, ...]
    fingerprint: str

    def counts(self) -> dict[str, int]:
        """Pictures per class."""
        return {label: sum(s.label == index for s in self.samples) for index, label in enumerate(self.labels)}

    def targets(self, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        """``(n, classes) float32``: a one for each label of a picture."""
        rows = np.zeros((len(indices), len(self.labels)), np.float32)
        for row, index in zip(rows, indices, strict=True):
            row[list(self.samples[index].labels)] = 1
        return rows


def scan(root: Path, *, on_file: Callable[[], None] = lambda: None) -> DataSet:
    """Read a folder of class folders; every file is decoded once, so that a bad one shows up now and not mid-training.

    Args:
        root: folder whose sub-folders are the classes. Hidden files are ignored.
        on_file: called for each file, for progress.

    Raises:
        DataError: not a folder of class folders, fewer than two classes, or a class with too few readable pictures.
    """
    labels, files = list_classes(root)
    digest = hashlib.sha256()
    samples: list[Sample] = []
    rejected: list[str] = []
    for path, label in files:
        problem = _problem(path)
        on_file()
        if problem:
            rejected.append(problem)
            continue
        digest.update(str(path.relative_to(root)).encode("utf-8", "surrogateescape") + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
        samples.append(Sample(path, (label,)))
    data = DataSet(root, labels, tuple(samples), tuple(rejected), digest.hexdigest())
    _check_counts(data)
    return data


def list_classes(root: Path) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    """The class names of a folder and its files with the index of their class, without opening them.

    Raises:
        DataError: not a folder, or fewer than two class folders in it.
    """
    if not root.is_dir():
        raise DataError(f"{root}: is not a folder; give one that holds a sub-folder of pictures per class")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(folders) < 2:  # noqa: PLR2004  a question has two answers at least
        found = f"one class folder only, {folders[0].name!r}" if folders else "no class folders"
        raise DataError(f"{root}: holds {found}; make a sub-folder per class, two at least, e.g. open/ and shut/")
    files = [
        (path, index)
        for index, folder in enumerate(folders)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    return tuple(folder.name for folder in folders), files


def _problem(path: Path) -> str | None:
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        return f"{path}: is no picture by its name; left out"
    try:
        read_picture(path)
    except PictureError as error:
        return f"{error} (left out)"
    return None


def _check_counts(data: DataSet) -> None:
    for label, count in data.counts().items():
        folder = data.root / label
        if count == 0:
            bad = [message for message in data.rejected if message.startswith(str(folder))]
            why = f"none of its {len(bad)} files can be read, the first: {bad[0]}" if bad else "is empty"
            raise DataError(f"{folder}: the class {label!r} {why}; add pictures or remove the folder")
        if count < MIN_PICTURES_PER_CLASS:
            raise DataError(
                f"{folder}: the class {label!r} has {count} readable pictures; "
                f"at least {MIN_PICTURES_PER_CLASS} are needed and 30 or more are advised"
            )


def balanced(indices: Sequence[int], data: DataSet, count: int, rng: np.random.Generator) -> list[int]:
    """Up to ``count`` of the given samples, the classes taking turns: what a representative set for int8 needs."""
    queues = [[i for i in indices if data.samples[i].label == label] for label in range(len(data.labels))]
    shuffled = [[queue[i] for i in rng.permutation(len(queue))] for queue in queues]
    longest = max(len(queue) for queue in shuffled)
    turns = [queue[turn] for turn in range(longest) for queue in shuffled if turn < len(queue)]
    return turns[:count]


def pictures(data: DataSet, indices: Sequence[int]) -> Iterator[Image]:
    """Decode samples one by one: ``(H, W, 3) uint8 BGR``."""
    for index in indices:
        yield read_picture(data.samples[index].path)


def summary_of_rejected(data: DataSet) -> list[str]:
    """At most a handful of lines for a person about files that were left out."""
    lines = list(data.rejected[:_LISTED])
    if len(data.rejected) > _LISTED:
        lines.append(f"… and {len(data.rejected) - _LISTED} more files were left out")
    return lines
