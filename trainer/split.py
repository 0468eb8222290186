"""Which pictures are learnt from, which tune, and which judge: whole groups, every class in proportion.

The rarest class is served first, its largest groups first, each to the part that lacks most of that class (after
Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-label Data", 2011, with groups in place of pictures).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.sources import PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from trainer.data import DataSet, Sample
    from trainer.recipe import SplitRecipe
    from trainer.sources import Part

_NEEDED_FIRST: tuple[Part, ...] = ("train", "test", "validation")


@dataclass(frozen=True, slots=True)
class Split:
    """Indices into ``DataSet.samples``, ascending; together all of them, each once.

    Attributes:
        train: what the weights are learnt from.
        validation: when to stop, calibration, thresholds, the rule for ``unknown``.
        test: looked at once, by the finished file.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def split(data: DataSet, recipe: SplitRecipe, rng: np.random.Generator) -> Split:
    """Respect what the owner put into a part, and draw the rest.

    A part that the owner did not make is drawn from what is not in another part of theirs; its fraction is of that. A
    class with one group is learnt from; with two it is learnt from and tested; with three it is in every part. A group
    straddles only if the owner's own parts do.

    Args:
        data: pictures with their groups.
        recipe: its ``validation`` and ``test`` fractions; 0 leaves a part empty.
        rng: decides between equals; the same seed gives the same parts.
    """
    fractions: dict[Part, float] = {"validation": recipe.validation, "test": recipe.test}
    made_by_owner = {sample.part for sample in data.samples if sample.part}
    drawn: list[Part] = [part for part, fraction in fractions.items() if fraction > 0 and part not in made_by_owner]
    members: dict[Part, list[int]] = {part: [] for part in PARTS}
    free = []
    for bundle in _bundles(data.samples):
        fixed = {data.samples[index].part for index in bundle} - {None}
        held_out = [part for part in _NEEDED_FIRST[1:] if part in fixed]
        if fixed == set() or (fixed == {"train"} and drawn):
            free.append(bundle)
        else:
            rest: Part = held_out[0] if held_out else "train"
            for index in bundle:
                members[data.samples[index].part or rest].append(index)
    parts: list[Part] = ["train", *drawn]
    shares = np.array([1 - sum(fractions[part] for part in drawn), *(fractions[part] for part in drawn)])
    for bundle, chosen in zip(free, _distribute(_counts(data, free), shares, rng), strict=True):
        members[parts[chosen]] += bundle
    return Split(*(tuple(sorted(members[part])) for part in PARTS))


def _bundles(samples: Sequence[Sample]) -> list[list[int]]:
    """Samples that stay together."""
    grouped: dict[tuple[bool, int], list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        grouped[(True, sample.group) if sample.group >= 0 else (False, index)].append(index)
    return list(grouped.values())


def _counts(data: DataSet, bundles: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
    """Pictures of each class in each bundle, ``(bundles, classes + 1)``; the last column is for those of no class."""
    counts = np.zeros((len(bundles), len(data.labels) + 1))
    for row, bundle in zip(counts, bundles, strict=True):
        for index in bundle:
            row[list(data.samples[index].labels) or -1] += 1
    return counts


def _distribute(
    counts: npt.NDArray[np.float64], shares: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """The part of each bundle, ``(bundles,)``: an index into ``shares``, whose first is that of train."""
    chosen = np.full(len(counts), -1)
    lacking = np.outer(shares, counts.sum(axis=0))
    tie_break = rng.permutation(len(counts))
    has = np.zeros(lacking.shape, dtype=bool)
    # Train first, then test (the last), so that a class with two groups can be judged.
    urgency = [0, *range(len(shares) - 1, 0, -1)]
    while (left := (counts > 0) & (chosen < 0)[:, np.newaxis]).any():
        remaining = left.sum(axis=0)
        label = int(np.argmin(np.where(remaining, remaining, np.inf)))
        queue = sorted(np.flatnonzero(left[:, label]), key=lambda b: (-counts[b, label], tie_break[b]))
        for position, bundle in enumerate(queue):
            empty = [part for part in urgency if not has[part, label]]
            is_last_chance = len(queue) - position <= len(empty)
            part = empty[0] if is_last_chance else int(np.argmax(lacking[:, label]))
            chosen[bundle] = part
            lacking[part] -= counts[bundle]
            has[part] |= counts[bundle] > 0
    _teach_every_class(counts, chosen)
    return chosen


def _teach_every_class(counts: npt.NDArray[np.float64], chosen: npt.NDArray[np.int64]) -> None:
    """Move the smallest bundle of a class to train, in place, where pictures of several classes left it without any."""
    for label in range(counts.shape[1]):
        bundles = np.flatnonzero(counts[:, label])
        if len(bundles) and not (chosen[bundles] == 0).any():
            chosen[bundles[np.argmin(counts[bundles].sum(axis=1))]] = 0
