"""The pictures that show a converted model what it will see: any folder, or class folders named like its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.errors import PictureError
from edge.preprocess import PICTURE_SUFFIXES, read_picture
from trainer.errors import DataError
from trainer.sources import files_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edge.frame import Image

MIN_PICTURES = 8
"""Fewer do not span what a model's layers can say; 20 to 100 are plenty."""


@dataclass(frozen=True, slots=True)
class CalibrationPictures:
    """Readable pictures, shuffled by their place so that any first part of them is a fair sample.

    Attributes:
        truth: the index of each picture's label, where the folders tell it; otherwise ``None``.
        rejected: one message per file that was left out.
    """

    paths: tuple[Path, ...]
    truth: tuple[int, ...] | None
    rejected: tuple[str, ...]

    def images(self) -> Iterator[Image]:
        """Decode them one by one: ``(H, W, 3) uint8 BGR``."""
        for path in self.paths:
            yield read_picture(path)


def collect(
    root: Path, labels: Sequence[str], *, limit: int, on_file: Callable[[], None] = lambda: None
) -> CalibrationPictures:
    """Find the pictures in a folder and its sub-folders; the folders take turns, so that a limit cuts all of them.

    Args:
        root: a folder; if all of its sub-folders are named like labels, they are taken as the truth.
        labels: of the model; empty for a feature vector.
        limit: how many pictures at most.
        on_file: called for each file, for progress.

    Raises:
        DataError: no folder, or too few readable pictures in it.
    """
    if not root.is_dir():
        raise DataError(f"{root}: is not a folder; give one with pictures like those the model will see")
    files = sorted(path for path in files_below(root) if path.suffix.lower() in PICTURE_SUFFIXES)
    groups: dict[str, list[Path]] = {}
    for path in files:
        groups.setdefault(path.relative_to(root).parts[0] if path.parent != root else "", []).append(path)
    kept: list[Path] = []
    rejected: list[str] = []
    for path in _by_turns(list(groups.values())):
        if len(kept) == limit:
            break
        try:
            read_picture(path)
            kept.append(path)
        except PictureError as error:
            rejected.append(f"{error} (left out)")
        on_file()
    if len(kept) < MIN_PICTURES:
        raise DataError(
            f"{root}: {len(kept)} readable pictures; at least {MIN_PICTURES} are needed to quantize by, and 50 to 100 "
            "that look like what the model will see are best"
        )
    names = {label: index for index, label in enumerate(labels)}
    told = len(groups) > 1 and all(name in names for name in groups)
    truth = tuple(names[path.relative_to(root).parts[0]] for path in kept) if told else None
    return CalibrationPictures(tuple(kept), truth, tuple(rejected))


def _by_turns(groups: list[list[Path]]) -> Iterator[Path]:
    longest = max((len(group) for group in groups), default=0)
    return (group[turn] for turn in range(longest) for group in groups if turn < len(group))
