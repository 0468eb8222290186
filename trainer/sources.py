"""Where the pictures lie and what the owner says of them, without opening one: class folders, parts, or a CSV file.

A folder named ``car+person`` holds pictures of both, and makes the whole set multi-label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
PART_NAMES: dict[str, Part] = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
BOTH = "+"
_NOBODYS_FILES = frozenset({"thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that the owner lists.

    Attributes:
        labels: indices of its classes, ascending; one, unless the set is multi-label.
        part: where the owner put it; ``None`` leaves that to the split.
        place: the folder that it shares with pictures of the same camera, relative to the root.
    """

    path: Path
    labels: tuple[int, ...]
    part: Part | None
    place: str


@dataclass(frozen=True, slots=True)
class Source:
    """All that the owner lists, sorted by path.

    Attributes:
        folder: what names are relative to.
        labels: class names in the order of the model's outputs, sorted.
    """

    folder: Path
    labels: tuple[str, ...]
    entries: tuple[Entry, ...]
    multilabel: bool


def list_pictures(root: Path) -> Source:
    """What is there to train on, without opening a picture.

    Args:
        root: a folder of class folders, a folder of ``train``, ``validation`` and ``test`` folders of these, or a CSV
            file (see ``trainer.table``). Hidden files are ignored.

    Raises:
        DataError: it is none of these, or names fewer than two classes.
    """
    if root.is_file() and root.suffix.lower() in {".csv", ".tsv"}:
        from trainer.table import read_table

        return read_table(root)
    if not root.is_dir():
        raise DataError(
            f"{root}: is not a folder; give one that holds a sub-folder of pictures per class, or a CSV file of them"
        )
    folders = folders_in(root)
    parts = _part_folders(folders)
    # A set for telling trains from tests has class folders of these names too, but no folders inside them.
    if not parts:
        return _from_classes(root, [(folder, None) for folder in folders])
    return _from_classes(root, [(folder, part) for top, part in parts for folder in folders_in(top)])


def check_labels(labels: tuple[str, ...], root: Path, *, found_in: str) -> None:
    """A question has two answers at least.

    Raises:
        DataError: fewer, or one that cannot be written on a line.
    """
    check_readable(labels, root, found_in=found_in)
    if len(labels) < 2:  # noqa: PLR2004
        found = f"one {found_in} only, {labels[0]!r}" if labels else f"no {found_in}s"
        raise DataError(f"{root}: holds {found}; make a sub-folder per class, two at least, e.g. open/ and shut/")


def check_readable(labels: tuple[str, ...], root: Path, *, found_in: str) -> None:
    """Labels go into files and messages: better refused now than when the model is written.

    Raises:
        DataError: one of them cannot be written on a line; bytes that are no UTF-8 are among these.
    """
    for label in labels:
        if not label.strip() or not label.isprintable():
            raise DataError(f"{root}: a {found_in} is called {label!r}, which cannot be read or printed; rename it")


def files_below(folder: Path) -> Iterator[Path]:
    """All files of a folder and of those below it, without the hidden ones. Links are followed, but never in a circle.

    What a broken link names is among them: whoever opens it finds out and can say so.

    Raises:
        DataError: a folder cannot be read.
    """
    seen: set[Path] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        real = here.resolve()
        if real in seen:
            continue
        seen.add(real)
        for path in _visible(here):
            if not _is_folder(path):
                yield path
            elif not (path.is_symlink() and real.is_relative_to(path.resolve())):  # a link up would bring in the others
                waiting.append(path)


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without the hidden ones.

    Raises:
        DataError: it cannot be read.
    """
    return [path for path in _visible(folder) if _is_folder(path)]


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read: {error.strerror or error}") from error


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # of what it is, only its name may be known
        return False


def _part_folders(folders: list[Path]) -> list[tuple[Path, Part]]:
    parts = [(folder, PART_NAMES[folder.name.lower()]) for folder in folders if folder.name.lower() in PART_NAMES]
    names = [part for _, part in parts]
    if len(parts) != len(folders) or "train" not in names or not all(folders_in(folder) for folder, _ in parts):
        return []
    if len(set(names)) != len(names):
        listed = ", ".join(folder.name for folder in folders)
        raise DataError(f"{folders[0].parent}: two folders mean the same part ({listed}); keep one of them")
    return parts


def _from_classes(root: Path, folders: list[tuple[Path, Part | None]]) -> Source:
    names = {folder.name: _names(folder.name) for folder, _ in folders}
    labels = tuple(sorted({name for joined in names.values() for name in joined}))
    check_labels(labels, root, found_in="class folder")
    positions = {label: index for index, label in enumerate(labels)}
    entries = [
        Entry(
            path,
            tuple(sorted(positions[name] for name in names[folder.name])),
            part,
            f"{part or ''}/{path.parent.relative_to(folder)}",
        )
        for folder, part in folders
        for path in _files(folder)
    ]
    multilabel = any(len(joined) > 1 for joined in names.values())
    return Source(root, labels, tuple(sorted(entries, key=lambda entry: entry.path)), multilabel)


def _names(folder_name: str) -> tuple[str, ...]:
    """``car+person`` is two classes; ``C++`` is one."""
    names = [name.strip() for name in folder_name.split(BOTH)]
    return tuple(dict.fromkeys(names)) if all(names) else (folder_name,)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in files_below(folder) if path.name.lower() not in _NOBODYS_FILES)
