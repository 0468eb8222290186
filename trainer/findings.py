"""What an audit can say: one finding, and the words that findings share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trainer.data import DataSet

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
_ON_A_LINE = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know.

    Attributes:
        severity: ``error`` makes training impossible, ``warning`` costs accuracy or misleads, ``info`` is good to know.
        kind: a stable name for machines.
        message: what is the case.
        advice: what to do about it.
        paths: the files concerned, all of them.
        examples: lines that name some of them for people; for files that were left out, all of them and why.
    """

    severity: Severity
    kind: str
    message: str
    advice: str
    paths: tuple[Path, ...] = ()
    examples: tuple[str, ...] = ()


def about(
    data: DataSet, severity: Severity, kind: str, members: Sequence[Sequence[int]], message: str, advice: str
) -> Finding:
    """A finding about sets of pictures; each set stands on one line of the examples."""
    lines = [_line([relative(data, index) for index in indices]) for indices in members]
    paths = tuple(data.samples[index].path for indices in members for index in indices)
    return Finding(severity, kind, message, advice, paths, tuple(lines))


def _line(names: Sequence[str]) -> str:
    more = f" and {len(names) - _ON_A_LINE} more" if len(names) > _ON_A_LINE else ""
    return " ≈ ".join(names[:_ON_A_LINE]) + more


def relative(data: DataSet, index: int) -> str:
    """The name of a sample's file as its owner would say it."""
    path = data.samples[index].path
    base = data.root if data.root.is_dir() else data.root.parent
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


def class_of(data: DataSet, index: int) -> str:
    """The name of a sample's class, or of its classes."""
    return "+".join(data.labels[label] for label in data.samples[index].labels) or "none"


def counted(members: Sequence[object], noun: str) -> str:
    """``1 set``, ``2 sets``."""
    return f"{len(members)} {noun}{'' if len(members) == 1 else 's'}"


def files(count: int) -> str:
    """The noun for so many files."""
    return "file" if count == 1 else "files"


def listed(labels: Sequence[str]) -> str:
    """Names in quotes."""
    return ", ".join(repr(label) for label in labels)
