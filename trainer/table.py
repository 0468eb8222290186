"""A CSV file as the list of pictures: ``path,label[,split]``, or one column per class.

One header line. The first column is the picture's path, relative to the CSV file. Then either

* ``label`` (or ``labels``, ``label2``, ...): names, several in a cell separated by ``|``; or
* one column per class, with ``1``/``0``, ``true``/``false``, ``yes``/``no``, ``x`` or nothing in the cells;

and, anywhere, ``split``: ``train``, ``validation`` or ``test``; empty leaves it to the trainer. A picture that is
listed in several rows has the labels of all of them. More than one label, or none, on any picture makes the set
multi-label.
"""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import DataError
from trainer.sources import PART_NAMES, Entry, Source, check_readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.sources import Part

SEPARATOR = "|"
_SPLIT_COLUMNS = frozenset({"split", "part", "subset", "set"})
_LABEL_COLUMN = re.compile(r"(label|class|tag)(s|es)?[ _]?\d*")
_YES, _NO = frozenset({"1", "1.0", "true", "yes", "x"}), frozenset({"", "0", "0.0", "false", "no"})


def read_table(path: Path) -> Source:
    """The pictures that a CSV file lists; separated by commas, semicolons or tabs.

    Raises:
        DataError: it cannot be read, has no usable header or rows, or contradicts itself.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    if not text.strip():
        raise DataError(f"{path}: is empty; write a header such as path,label,split and a line per picture")
    if "\0" in text:
        raise DataError(f"{path}: holds NUL characters, as UTF-16 does; save it as CSV in UTF-8")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    except csv.Error as error:
        raise DataError(
            f"{path}: is no well-formed CSV ({error}); look for a quotation mark without its other"
        ) from error
    columns = _Columns(path, [name.strip() for name in header])
    labels_of: dict[Path, set[str]] = {}
    part_of: dict[Path, Part | None] = {}
    for line, row in enumerate(rows, start=2):
        if not any(cell.strip() for cell in row):
            continue
        name, names, part = columns.read(line, row)
        labels_of.setdefault(name, set()).update(names)
        if part_of.setdefault(name, part) != part:
            raise DataError(f"{path}: line {line}: {name} is listed before with another split; keep one")
    labels = tuple(sorted(set(columns.classes).union(*labels_of.values())))
    check_readable(labels, path, found_in="class")
    if len(labels) < 2:  # noqa: PLR2004  a question has two answers at least
        raise DataError(f"{path}: names {len(labels)} class{'' if len(labels) == 1 else 'es'}; at least 2 are needed")
    positions = {label: index for index, label in enumerate(labels)}
    entries = [
        Entry(path.parent / name, tuple(sorted(positions[label] for label in names)), part_of[name], str(name.parent))
        for name, names in labels_of.items()
    ]
    multilabel = any(len(entry.labels) != 1 for entry in entries)
    return Source(path.parent, labels, tuple(sorted(entries, key=lambda entry: entry.path)), multilabel)


class _Columns:
    """Where in a row the path, the labels and the part stand."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self._path = path
        self._count = len(header)
        self._split = [i for i, name in enumerate(header) if i and name.lower() in _SPLIT_COLUMNS][:1]
        rest = [i for i in range(1, len(header)) if i not in self._split]
        self._named = [i for i in rest if _LABEL_COLUMN.fullmatch(header[i].lower())]
        self._ticked = [] if self._named else rest
        self._header = header
        if rest and (_LABEL_COLUMN.fullmatch(header[0].lower()) or header[0].lower() in _SPLIT_COLUMNS):
            raise DataError(
                f"{path}: its first column is {header[0]!r}; put the pictures' paths there, then the labels"
            )
        if not rest:
            raise DataError(f"{path}: its first line must be a header with two columns at least, e.g. path,label,split")
        if not header[0] or _is_file(path.parent / _path(header[0])):
            raise DataError(f"{path}: its first line is a picture already; write a header above it: path,label,split")

    @property
    def classes(self) -> list[str]:
        """The classes that the header names."""
        return [self._header[i] for i in self._ticked]

    def read(self, line: int, row: Sequence[str]) -> tuple[Path, list[str], Part | None]:
        """Path, labels and part of one row."""
        cells = [cell.strip() for cell in row] + [""] * (self._count - len(row))
        if len(cells) > self._count or not cells[0]:
            raise DataError(f"{self._path}: line {line}: has {len(row)} cells and the header {self._count}")
        labels = [name.strip() for i in self._named for name in cells[i].split(SEPARATOR) if name.strip()]
        for i in self._ticked:
            if cells[i].lower() not in _YES | _NO:
                raise DataError(
                    f"{self._path}: line {line}: {cells[i]!r} under {self._header[i]!r} is neither 1 nor 0; "
                    "call the column 'label' if it holds names"
                )
            labels += [self._header[i]] if cells[i].lower() in _YES else []
        return _path(cells[0]), labels, self._part(line, cells)

    def _part(self, line: int, cells: Sequence[str]) -> Part | None:
        name = cells[self._split[0]].lower() if self._split else ""
        if name and name not in PART_NAMES:
            raise DataError(f"{self._path}: line {line}: the split {name!r} is none of train, validation, test")
        return PART_NAMES.get(name)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a text too long for a name
        return False


def _path(cell: str) -> Path:
    return Path(cell.replace("\\", os.sep))  # tables are written on Windows, too
