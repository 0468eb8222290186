"""The owner's pictures: each decoded once, checked, and known by its labels and by what it must not be parted from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from edge.preprocess import read_picture
from trainer.errors import DataError
from trainer.facts import Facts, look_at_all
from trainer.grouping import Survey, survey
from trainer.sources import Part, Source, list_pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from edge.frame import Image
    from edge.model_card import Kind

MIN_PICTURES_PER_CLASS = 4
"""Fewer cannot be split into parts to learn from and to be judged on."""
_LISTED = 5  # as many file names as a person reads in one message


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture file.

    Attributes:
        labels: indices of its classes, ascending. One, unless the set is multi-label: then several, or none.
        group: pictures of one group stay in one part: copies, a burst, a block of a recording. −1: alone.
        part: where the owner put it; ``None`` leaves that to ``split``.
    """

    path: Path
    labels: tuple[int, ...]
    group: int = -1
    part: Part | None = None

    @property
    def label(self) -> int:
        """The first label; there is one, unless the set is multi-label."""
        return self.labels[0]


@dataclass(frozen=True, slots=True)
class DataSet:
    """Readable pictures with their labels.

    Attributes:
        root: the folder or CSV file that was scanned.
        labels: class names in the order of the model's outputs, sorted.
        samples: all readable pictures, sorted by path.
        rejected: one message per file that was left out.
        fingerprint: SHA-256 over names, labels and contents: the same pictures give the same one.
        multilabel: whether a picture may show several classes, or none.
        survey: what was seen when the pictures were decoded, for the audit.
    """

    root: Path
    labels: tuple[str, ...]
    samples: tuple[Sample, ...]
    rejected: tuple[str, ...]
    fingerprint: str
    multilabel: bool = False
    survey: Survey = field(default_factory=Survey, repr=False, compare=False)

    def counts(self) -> dict[str, int]:
        """Pictures per class."""
        totals = self.targets(range(len(self.samples))).sum(axis=0)
        return {label: int(total) for label, total in zip(self.labels, totals, strict=True)}

    def targets(self, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        """Which classes each sample shows: ``(n, classes) float32`` of zeros and ones."""
        rows = np.zeros((len(indices), len(self.labels)), dtype=np.float32)
        for row, index in zip(rows, indices, strict=True):
            row[list(self.samples[index].labels)] = 1
        return rows


def scan(root: Path, *, multilabel: bool = False, on_file: Callable[[], None] = lambda: None) -> DataSet:
    """Read what there is to train on; every file is decoded once, so that a bad one shows up now and not mid-training.

    Args:
        root: a folder of class folders, of ``train``/``validation``/``test`` folders of these, or a CSV file.
        multilabel: a picture that lies in two class folders shows both. A folder named ``car+person`` or a CSV file
            with several labels for a picture says so too.
        on_file: called for each file, for progress.

    Raises:
        DataError: it is none of these, names fewer than two classes, or a class has too few readable pictures.
    """
    data = look(list_pictures(root), root, multilabel=multilabel, on_file=on_file)
    for problem in problems(data):
        raise DataError(problem)
    return data


def look(source: Source, root: Path, *, multilabel: bool = False, on_file: Callable[[], None]) -> DataSet:
    """As ``scan`` of what ``list_pictures`` found, but without judging it."""
    samples: list[Sample] = []
    facts: list[Facts] = []
    places: list[str] = []
    rejected: list[str] = []
    results = look_at_all([entry.path for entry in source.entries], on_file=on_file)
    for entry, result in zip(source.entries, results, strict=True):
        if isinstance(result, str):
            rejected.append(result)
            continue
        samples.append(Sample(entry.path, entry.labels, part=entry.part))
        facts.append(result)
        places.append(entry.place)
    fingerprint = _fingerprint(source, samples, facts)
    is_multilabel = multilabel or source.multilabel
    if is_multilabel and root.is_dir():
        kept = _merge_copies(samples, facts)
        facts, places = [facts[i] for i in kept], [places[i] for i in kept]
        samples = [replace(samples[i], labels=labels) for i, labels in kept.items()]
    seen = survey(samples, facts, places)
    grouped = tuple(replace(s, group=int(g)) for s, g in zip(samples, seen.groups, strict=True))
    return DataSet(root, source.labels, grouped, tuple(rejected), fingerprint, is_multilabel, seen)


def _fingerprint(source: Source, samples: Sequence[Sample], facts: Sequence[Facts]) -> str:
    digest = hashlib.sha256()
    for sample, fact in zip(samples, facts, strict=True):
        name = sample.path.relative_to(source.folder) if sample.path.is_relative_to(source.folder) else sample.path
        said = [str(name), sample.part or "", *(source.labels[label] for label in sample.labels)]
        digest.update("\0".join(said).encode("utf-8", "surrogateescape") + b"\0\0")
        digest.update(fact.digest)
    return digest.hexdigest()


def _merge_copies(samples: Sequence[Sample], facts: Sequence[Facts]) -> dict[int, tuple[int, ...]]:
    """The first sample of each content, with the labels of all its copies."""
    first: dict[bytes, int] = {}
    labels: dict[int, set[int]] = {}
    for index, (sample, fact) in enumerate(zip(samples, facts, strict=True)):
        labels.setdefault(first.setdefault(fact.digest, index), set()).update(sample.labels)
    return {index: tuple(sorted(found)) for index, found in labels.items()}


def problems(data: DataSet) -> list[str]:
    """What makes training impossible, one line each."""
    found = []
    owner_parts = {sample.part for sample in data.samples} - {None}
    learnt = data.targets([i for i, sample in enumerate(data.samples) if sample.part in {None, "train"}]).sum(axis=0)
    for (label, count), to_learn in zip(data.counts().items(), learnt, strict=True):
        folder = data.root / label
        where = folder if folder.is_dir() else data.root
        if count == 0:
            bad = [message for message in data.rejected if message.startswith(f"{folder}/")]
            if bad:
                why = f"has no file of its {len(bad)} that can be read, the first: {bad[0]}"
            elif data.rejected and not folder.is_dir():  # which of these were of this class, their paths do not tell
                why = (
                    f"has no picture that can be read; {len(data.rejected)} are left out, the first: {data.rejected[0]}"
                )
            else:
                why = "is empty"
            found.append(f"{where}: the class {label!r} {why}; add pictures or remove the {_thing(where, data.root)}")
        elif count < MIN_PICTURES_PER_CLASS:
            found.append(
                f"{where}: the class {label!r} has {count} readable picture{'' if count == 1 else 's'}; "
                f"at least {MIN_PICTURES_PER_CLASS} are needed and 30 or more are advised"
            )
        elif owner_parts and not to_learn:
            found.append(f"{where}: the class {label!r} has no pictures in the part 'train'; add some there")
    return found


def _thing(where: Path, root: Path) -> str:
    return "class" if where == root else "folder"


def check_question(data: DataSet, kind: Kind) -> None:
    """Whether a question of that kind can be learnt from these pictures.

    Raises:
        DataError: pictures show several classes or none, but one is to be told; or yes or no is asked of more than two.
    """
    if data.multilabel and kind in {"classify", "binary"}:
        odd = next((sample for sample in data.samples if len(sample.labels) != 1), data.samples[0])
        shown = " and ".join(data.labels[label] for label in odd.labels) or "none of the classes"
        raise DataError(
            f"{data.root}: pictures show several classes, or none ({odd.path.name}: {shown}), but the recipe asks for "
            'one of them; set kind = "multilabel" in the recipe, or --set kind=multilabel'
        )
    if kind == "binary" and len(data.labels) != 2:  # noqa: PLR2004  yes and no
        raise DataError(
            f"{data.root}: a model of kind 'binary' tells two classes apart, but here are {len(data.labels)} "
            f"({', '.join(data.labels)}); leave the kind at 'classify'"
        )


def balanced(indices: Sequence[int], data: DataSet, count: int, rng: np.random.Generator) -> list[int]:
    """Up to ``count`` of the given samples, the classes taking turns: what a representative set for int8 needs."""
    queues: dict[int, list[int]] = {label: [] for label in range(len(data.labels))}
    for index in indices:
        for label in data.samples[index].labels or (-1,):
            queues.setdefault(label, []).append(index)
    shuffled = [[queue[i] for i in rng.permutation(len(queue))] for queue in queues.values()]
    longest = max(len(queue) for queue in shuffled)
    turns = [queue[turn] for turn in range(longest) for queue in shuffled if turn < len(queue)]
    return list(dict.fromkeys(turns))[:count]


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
