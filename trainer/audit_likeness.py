"""Findings about pictures that are copies of each other, look alike, or are frames of one camera."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from trainer.facts import thumbnails
from trainer.findings import Finding, about, class_of, counted, files, listed
from trainer.numbering import numbering
from trainer.phash import unit_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trainer.data import DataSet

SAME_CORRELATION = 0.97
"""Between the thumbnails of two pictures that may be one: 99 % of copies that were re-encoded or dimmed reach it."""
_PATTERNS = 3  # as many as a person reads


def contradictions(data: DataSet) -> Iterator[Finding]:
    """The same picture, or nearly, in different classes."""
    copies = [members for members in _copies(data) if len({data.samples[i].labels for i in members}) > 1]
    same = {index for members in copies for index in members}
    advice = "Keep each in the right class only"
    if not data.multilabel:
        advice += "; if it shows both, see 'several labels' in docs/data.md"
    if copies:
        yield about(
            data, "warning", "contradiction", copies,
            f"{counted(copies, 'picture')} in two classes at once, byte for byte", advice,
        )  # fmt: skip
    pairs = [pair for pair in _near_contradictions(data) if not same.issuperset(pair)]
    if pairs:
        yield about(
            data, "warning", "near_contradiction", pairs,
            f"{counted(pairs, 'pair')} of pictures that look the same in different classes",
            "Look at them: if one is in the wrong class, move it; if the classes differ in a detail only, crop to it",
        )  # fmt: skip


def _near_contradictions(data: DataSet) -> Iterator[list[int]]:
    """Pairs in different classes that differ no more than re-encoding or dimming would make them."""
    for members in _alike(data):
        if len({data.samples[index].labels for index in members}) > 1:
            rows = unit_rows(thumbnails([data.survey.facts[i] for i in members]))
            first, second = np.nonzero(np.triu(rows @ rows.T >= SAME_CORRELATION, k=1))
            for one, other in zip(first.tolist(), second.tolist(), strict=True):
                if data.samples[members[one]].labels != data.samples[members[other]].labels:
                    yield [members[one], members[other]]


def own_parts(data: DataSet) -> Iterator[Finding]:
    """The owner's own parts: what they share, and what they lack."""
    made = {sample.part for sample in data.samples if sample.part}
    if not made:
        return
    straddling = [
        members for members in (*_alike(data), *_copies(data)) if len({data.samples[i].part for i in members}) > 1
    ]
    unique = list({tuple(members): members for members in straddling}.values())
    if unique:
        yield about(
            data, "warning", "leak", unique,
            f"{counted(unique, 'set')} of pictures that look the same in several of your parts: the model is judged on "
            "what it has learnt",
            "Move each set into one part",
        )  # fmt: skip
    missing = [part for part in ("validation", "test") if part not in made]
    if missing:
        yield Finding(
            "info", "missing_part", f"You made no part for {' and '.join(missing)}",
            "Nothing to do: it is drawn from the training pictures",
        )  # fmt: skip
    for part in sorted(made):
        of_part = data.targets([i for i, sample in enumerate(data.samples) if sample.part == part]).sum(axis=0)
        absent = [label for label, count in zip(data.labels, of_part, strict=True) if not count]
        if absent and part != "train":
            yield Finding(
                "warning", "absent_in_part", f"Your part {part!r} has no pictures of {listed(absent)}",
                "Add some: what is not there cannot be judged",
            )  # fmt: skip


def duplicates(data: DataSet) -> Iterator[Finding]:
    """Copies within one class."""
    copies = [members for members in _copies(data) if len({data.samples[i].labels for i in members}) == 1]
    if copies:
        extra = sum(len(members) - 1 for members in copies)
        yield about(
            data, "info", "duplicates", copies,
            f"{extra} {files(extra)} {'is' if extra == 1 else 'are'} byte-for-byte copies of others",
            "Remove the copies: they weigh double. They stay in the same part of the split",
        )  # fmt: skip


def near_duplicates(data: DataSet) -> Iterator[Finding]:
    """Look-alikes that are no recording."""
    copied = {tuple(members) for members in _copies(data)}
    near = [members for members in _alike(data) if tuple(members) not in copied]
    if near:
        count = sum(map(len, near))
        yield about(
            data, "info", "near_duplicates", near,
            f"{count} pictures look almost like another one ({counted(near, 'set')})",
            "Nothing to do: each set stays in one part of the split. More variety would teach more",
        )  # fmt: skip


def recordings(data: DataSet) -> Iterator[Finding]:
    """Frames of cameras, and how often each class was seen."""
    found = data.survey.recordings
    if not found:
        return
    stretches = [stretch for recording in found for stretch in recording.stretches]
    times = ", ".join(f"{label} {count}" for label, count in Counter(class_of(data, s[0]) for s in stretches).items())
    patterns = sorted({recording.pattern for recording in found})
    named = ", ".join(patterns[:_PATTERNS]) + (", …" if len(patterns) > _PATTERNS else "")
    yield about(
        data, "info", "recording", [recording.members for recording in found],
        f"{sum(map(len, stretches))} pictures are frames of {counted(found, 'recording')} ({named}); uninterrupted "
        f"stretches: {times}",
        "They are split by blocks of time. The accuracy will be that of this light and this day: judge the model by "
        "pictures of another day, too (sightpost-train evaluate)",
    )  # fmt: skip
    sizes = Counter(sample.labels for sample in data.samples)
    single = [stretch for stretch in stretches if len(stretch) == sizes[data.samples[stretch[0]].labels]]
    if single:
        yield about(
            data, "warning", "single_stretch", single,
            f"All pictures are from one uninterrupted stretch: {listed([class_of(data, s[0]) for s in single])}",
            "Record the class again at another time: what is learnt and what is judged are neighbours",
        )  # fmt: skip


def unordered(data: DataSet) -> Iterator[Finding]:
    """Frames of a camera whose order nobody knows; where numbers or times were there to be tested, less is to be done.

    Pictures that were each taken by themselves, as rendered ones are, have no order that could be learnt.
    """
    nameless: list[list[int]] = []
    numbered: list[list[int]] = []
    for members in data.survey.unordered:
        (numbered if all(_has_a_place_in_time(data, index) for index in members) else nameless).append(list(members))
    if nameless:
        count = sum(map(len, nameless))
        yield about(
            data, "warning", "unordered_frames", nameless,
            f"{count} pictures look alike, as frames of a fixed camera do, but names and EXIF tell no order in time",
            "Name them by a running number or time: else neighbours land on both sides of the split and the accuracy "
            "looks better than it is",
        )  # fmt: skip
    if numbered:
        count = sum(map(len, numbered))
        yield about(
            data, "info", "numbers_without_order", numbered,
            f"{count} pictures look alike, as frames of a fixed camera do, and their numbers are no order in time",
            "Nothing to do if each was taken by itself. If they are frames of a recording, number them as they came",
        )  # fmt: skip


def _has_a_place_in_time(data: DataSet, index: int) -> bool:
    """Whether its name or EXIF says one, true or not: the survey has then tested it."""
    return numbering(data.samples[index].path.stem) is not None or data.survey.facts[index].taken_s is not None


def _copies(data: DataSet) -> list[list[int]]:
    by_digest: dict[bytes, list[int]] = defaultdict(list)
    for index, facts in enumerate(data.survey.facts):
        by_digest[facts.digest].append(index)
    return [members for members in by_digest.values() if len(members) > 1]


def _alike(data: DataSet) -> list[list[int]]:
    """Clusters of pictures that look alike and are not just frames of one recording."""
    recorded = {index for recording in data.survey.recordings for index in recording.members}
    by_cluster: dict[int, list[int]] = defaultdict(list)
    for index, cluster in enumerate(data.survey.clusters):
        by_cluster[cluster].append(index)
    unordered = {index for members in data.survey.unordered for index in members}
    return [
        members
        for members in by_cluster.values()
        if len(members) > 1 and not recorded.issuperset(members) and not unordered.intersection(members)
    ]
