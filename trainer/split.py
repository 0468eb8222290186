"""Which pictures are learnt from, which decide, and which judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from trainer.data import DataSet
    from trainer.recipe import SplitRecipe


@dataclass(frozen=True, slots=True)
class Split:
    """Indices into ``DataSet.samples``: to learn from, to decide by during training, to judge by at its end."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def split(data: DataSet, recipe: SplitRecipe, rng: np.random.Generator) -> Split:
    """Take a fraction of each class for each part, at least one picture of it."""
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for label in range(len(data.labels)):
        members = [index for index, sample in enumerate(data.samples) if sample.label == label]
        shuffled = [members[position] for position in rng.permutation(len(members))]
        test = max(1, round(len(members) * recipe.test))
        validation = max(1, round(len(members) * recipe.validation))
        parts[2].extend(shuffled[:test])
        parts[1].extend(shuffled[test : test + validation])
        parts[0].extend(shuffled[test + validation :])
    return Split(*(tuple(sorted(part)) for part in parts))
