"""A folder of class folders, or a CSV file, matched with the labels of a model that was trained elsewhere."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.preprocess import PICTURE_SUFFIXES
from trainer.errors import DataError
from trainer.report.wording import names, pictures
from trainer.sources import BOTH as JOINED
from trainer.sources import files_below, folders_in, list_pictures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Labelled:
    """Pictures and which of the model's labels are right for each.

    Attributes:
        pictures: files, by folder and name.
        labels: indices of the right labels, for each picture.
        unknown: folders whose name is no label of the model, with the number of their pictures; not judged.
    """

    root: Path
    pictures: tuple[Path, ...]
    labels: tuple[tuple[int, ...], ...]
    unknown: dict[str, int]


def read_labelled(root: Path, labels: Sequence[str], *, multilabel: bool) -> Labelled:
    """List the pictures below the folders that are named like the model's labels, or that a CSV file lists.

    Names are compared as people see them: an ``é`` of one code point and one of two are the same.

    Raises:
        DataError: not a folder of class folders, none of them is a label of the model, or a label is there twice.
    """
    named = _list_table(root) if root.is_file() else _list_folders(root, labels)
    indices = {name: _indices(name, root, labels, multilabel=multilabel) for name in dict.fromkeys(named.values())}
    if all(found is None for found in indices.values()):
        raise DataError(_no_match(root, list(indices), labels))
    judged = {path: found for path, name in named.items() if (found := indices[name]) is not None}
    unknown = Counter(name for name in named.values() if indices[name] is None)
    return Labelled(root, tuple(judged), tuple(judged.values()), dict(unknown))


def describe_unknown(unknown: dict[str, int], labels: Sequence[str]) -> str:
    """One sentence about folders that were left out."""
    folders = names([f"{folder} ({pictures(count)})" for folder, count in unknown.items()])
    return f"Left out, since no label of the model has their name: {folders}. Its labels are {names(labels)}."


def _list_table(path: Path) -> dict[Path, str]:
    """Each picture of a CSV file with its labels, joined as in a folder's name."""
    source = list_pictures(path)
    return {entry.path: JOINED.join(source.labels[label] for label in entry.labels) for entry in source.entries}


def _list_folders(root: Path, labels: Sequence[str]) -> dict[Path, str]:
    """Each picture with the name of its class folder."""
    if not root.is_dir():
        raise DataError(f"{root}: is not a folder; give one that holds a sub-folder of pictures per class")
    folders = folders_in(root)
    if not folders:
        above = f"give the folder above it, {root.parent}" if _matches(root.name, labels) else ""
        raise DataError(
            f"{root}: holds no class folders; {above or 'give a folder that holds a sub-folder of pictures per class'}"
        )
    inside = [folder for folder in folders if any(_matches(child.name, labels) for child in folders_in(folder))]
    if inside and not any(_matches(folder.name, labels) for folder in folders):
        raise DataError(f"{root}: its sub-folders are no classes but hold them; give one of these, e.g. {inside[-1]}")
    found = {
        path: folder.name
        for folder in folders
        for path in sorted(files_below(folder))
        if path.suffix.lower() in PICTURE_SUFFIXES
    }
    if not found:
        raise DataError(f"{root}: there are no pictures in its {len(folders)} folders; nothing to judge by")
    return found


def _matches(name: str, labels: Sequence[str]) -> list[int]:
    wanted = unicodedata.normalize("NFC", name)
    return [index for index, label in enumerate(labels) if unicodedata.normalize("NFC", label) == wanted]


def _indices(name: str, root: Path, labels: Sequence[str], *, multilabel: bool) -> tuple[int, ...] | None:
    """The labels that a folder's name stands for; ``None`` if it is unknown."""
    if multilabel and not name:
        return ()  # a CSV file may list a picture that shows none of them
    whole = _matches(name, labels)
    if len(whole) > 1:
        raise DataError(
            f"{root / name}: the model has {len(whole)} labels of this name, so that an answer could mean either; "
            "give distinct ones with --labels FILE"
        )
    if whole or not multilabel:
        return tuple(whole) or None
    parts = [_matches(part.strip(), labels) for part in name.split(JOINED)]
    return tuple(sorted({part[0] for part in parts})) if all(len(part) == 1 for part in parts) else None


def _no_match(root: Path, folders: Sequence[str], labels: Sequence[str]) -> str:
    return (
        f"{root}: none of its {len(folders)} folders with pictures ({names(folders)}) is a label of the model; "
        f"its labels are {names(labels)}; rename the folders, or judge another model"
    )
