"""Which pictures must not be parted: copies, bursts, and stretches of a camera's recording.

Frames of one recording are nearly the same picture. Were some learnt from and their neighbours used to judge, every
model would look perfect. Pictures whose names count up (or whose EXIF times do) are therefore tested: is each more
like its successor than like others of its class? Measured on seven real data sets, that holds in 91 % of comparisons or
more for frames of a fixed camera and in at most 60 % for numbered photographs of different things.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from trainer.facts import thumbnails
from trainer.numbering import numbering
from trainer.phash import MIN_CORRELATION, is_near, near_clusters, unit_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from trainer.data import Sample
    from trainer.facts import Facts
    from trainer.phash import Hashes, Rows

    Indices = npt.NDArray[np.int64]

MIN_SUCCESSIONS = 11
"""Fewer pairs of successors do not prove a recording."""
MIN_ORDER = 0.8
"""Share of comparisons in which a successor is more alike than another picture of the class."""
BLOCKS_PER_CLASS = 7
"""A long stretch is cut into blocks of at most a seventh of its class: one is near the usual 15 % of a part."""
_SHORTEST_RUN = 4  # a successor and one that is no neighbour
_GAP = 3.0  # in usual steps; a longer one begins a new stretch
_MAX_CLUSTER_SHARE = 0.25  # of a class; holding out so large a cluster whole would distort the split
_MAX_CLUSTER = 8  # ... which never applies to so few


@dataclass(frozen=True, slots=True)
class Recording:
    """Frames of one camera, known by their names or EXIF times.

    Attributes:
        pattern: what the names have in common, for people.
        members: indices of samples, by class and time.
        stretches: uninterrupted runs, as indices, one after the other.
    """

    pattern: str
    members: tuple[int, ...]
    stretches: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """What one look at every picture told; all sequences run parallel to the samples.

    Attributes:
        clusters: the lowest index among the pictures that look alike; its own index where a picture is alone.
        groups: what ``Sample.group`` becomes.
        unordered: clusters too large to be kept together, without any order to cut them by.
    """

    facts: tuple[Facts, ...] = ()
    clusters: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    recordings: tuple[Recording, ...] = ()
    unordered: tuple[tuple[int, ...], ...] = ()


def survey(samples: Sequence[Sample], facts: Sequence[Facts], places: Sequence[str]) -> Survey:
    """Find what is alike and what belongs together.

    Args:
        samples: all readable pictures.
        facts: of each.
        places: of each, the folder that it shares with other pictures of its camera.
    """
    hashes = np.array([fact.hash for fact in facts], dtype=np.uint64)
    rows = unit_rows(thumbnails(facts))
    clusters = near_clusters(hashes, rows)
    recordings = _recordings(samples, facts, places, hashes, rows)
    groups = np.full(len(samples), -1, dtype=np.int64)
    sizes = _class_sizes(samples)
    for recording in recordings:
        for stretch in recording.stretches:
            longest = math.ceil(sizes[samples[stretch[0]].labels] / BLOCKS_PER_CLASS)
            for block in _blocks(stretch, longest, rows):
                groups[list(block)] = block[0]
    unordered = _group_clusters(samples, facts, clusters, groups, sizes)
    as_ints = tuple(clusters.tolist()), tuple(groups.tolist())
    return Survey(tuple(facts), *as_ints, tuple(recordings), tuple(unordered))


def _class_sizes(samples: Sequence[Sample]) -> dict[tuple[int, ...], int]:
    sizes: dict[tuple[int, ...], int] = defaultdict(int)
    for sample in samples:
        sizes[sample.labels] += 1
    return sizes


def _recordings(
    samples: Sequence[Sample], facts: Sequence[Facts], places: Sequence[str], hashes: Hashes, rows: Rows
) -> list[Recording]:
    """Pictures whose order in time is known and matters: by name first, by EXIF time what names do not tell."""
    found: list[Recording] = []
    left = set(range(len(samples)))
    for by_name in (True, False):
        sets: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
        for index in sorted(left):
            taken_s = facts[index].taken_s
            by_exif = ("EXIF time", taken_s) if taken_s is not None else None
            key = numbering(samples[index].path.stem) if by_name else by_exif
            if key:
                sets[places[index], key[0]][index] = key[1]
        for (_, pattern), positions in sets.items():
            runs = list(_runs(samples, positions))
            if _order_matters(runs, hashes, rows):
                stretches = tuple(stretch for run in runs for stretch in _stretches(run, positions))
                members = tuple(index for run in runs for index in run)
                found.append(Recording(pattern, members, stretches))
                left.difference_update(members)
    return found


def _runs(samples: Sequence[Sample], positions: dict[int, float]) -> Iterator[list[int]]:
    """The pictures of each class, in order."""
    by_labels: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index in sorted(positions, key=lambda index: (positions[index], index)):
        by_labels[samples[index].labels].append(index)
    yield from by_labels.values()


def _order_matters(runs: Sequence[Sequence[int]], hashes: Hashes, rows: Rows) -> bool:
    pairs = near = 0
    wins = 0.0
    for run in runs:
        order = np.array(run)
        if len(order) < _SHORTEST_RUN:
            continue
        first, second = order[:-1], order[1:]
        successor = _correlation(rows, first, second)
        pairs += len(successor)
        near += int((is_near(hashes[first], hashes[second]) & (successor >= MIN_CORRELATION)).sum())
        shifts = {min(max(2, round(len(order) * share)), len(order) - 2) for share in (0.2, 0.35, 0.5, 0.65)}
        for shift in shifts:
            other = _correlation(rows, first, np.roll(order, -shift)[:-1])
            wins += float((np.sign(successor - other) + 1).sum()) / 2 / len(shifts)
    return pairs >= MIN_SUCCESSIONS and (near >= pairs / 2 or wins >= MIN_ORDER * pairs)


def _correlation(rows: Rows, first: Indices, second: Indices) -> npt.NDArray[np.float32]:
    return np.asarray(np.einsum("ij,ij->i", rows[first], rows[second]))


def _stretches(run: Sequence[int], positions: dict[int, float]) -> Iterator[tuple[int, ...]]:
    """A run, cut where the numbers jump."""
    steps = np.diff([positions[index] for index in run])
    usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0
    cuts = (np.flatnonzero(steps > _GAP * usual) + 1).tolist()
    for start, end in pairwise([0, *cuts, len(run)]):
        yield tuple(run[start:end])


def _blocks(stretch: Sequence[int], longest: int, rows: Rows) -> Iterator[Sequence[int]]:
    """Even blocks of a stretch, but cut where neighbours are least alike, within a quarter block of the even place."""
    count = math.ceil(len(stretch) / longest)
    size = len(stretch) / count
    order = np.array(stretch)
    correlation = _correlation(rows, order[:-1], order[1:])  # of i and i + 1
    cuts = []
    for number in range(1, count):
        even = round(number * size)
        window = range(max(1, even - int(size / 4)), min(len(stretch) - 1, even + int(size / 4)) + 1)
        cuts.append(min(window, key=lambda cut: (correlation[cut - 1], abs(cut - even))))
    for start, end in pairwise([0, *cuts, len(stretch)]):
        yield stretch[start:end]


def _group_clusters(
    samples: Sequence[Sample],
    facts: Sequence[Facts],
    clusters: Indices,
    groups: Indices,
    sizes: dict[tuple[int, ...], int],
) -> list[tuple[int, ...]]:
    """Group what looks alike and is in no recording, in place; the clusters that are too large for that."""
    by_cluster: dict[int, list[int]] = defaultdict(list)
    for index, cluster in enumerate(clusters.tolist()):
        by_cluster[cluster].append(index)
    too_large = []
    for members in by_cluster.values():
        recorded = [index for index in members if groups[index] >= 0]
        free = [index for index in members if groups[index] < 0]
        if len(members) == 1 or not free:
            continue
        if recorded:
            groups[free] = groups[recorded[0]]  # a copy of a frame stays with it
        elif len(free) > max(_MAX_CLUSTER, _MAX_CLUSTER_SHARE * min(sizes[samples[index].labels] for index in free)):
            too_large.append(tuple(free))
            first: dict[bytes, int] = {}
            for index in free:
                groups[index] = first.setdefault(facts[index].digest, index)
        else:
            groups[free] = free[0]
    return too_large
