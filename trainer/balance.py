"""What a rare class is worth: a model of 700 red and 35 yellow lights would otherwise never say yellow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_POWER = 0.5
"""Weights go by the square root of how rare a class is: in full, a handful of pictures would drown out all others."""


def sample_weights(targets: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What each sample counts, ``(n,) float32`` of mean 1; one with several labels counts as its rarest.

    Args:
        targets: ``(n, classes)``, one or several ones in a row.
    """
    counts = np.maximum(targets.sum(axis=0), 1)
    rarity = (len(targets) / counts) ** _POWER
    weights = (targets * rarity).max(axis=1)
    weights[weights == 0] = 1.0  # a picture of none of the labels
    return np.asarray(weights / weights.mean(), dtype=np.float32)


def order(
    weights: npt.NDArray[np.float32], *, sampled: bool, rng: np.random.Generator, batch_size: int
) -> npt.NDArray[np.int64]:
    """The samples of one epoch in the order of their use; the last batch is filled up, so that all are of one size.

    Args:
        weights: ``(n,)``, see ``sample_weights``.
        sampled: draw by weight, so that rare ones come several times; otherwise each comes once.
        rng: the only source of randomness.
        batch_size: samples in a batch.
    """
    count = len(weights)
    if sampled:
        exact = weights.astype(np.float64)
        chosen = rng.choice(count, size=count, p=exact / exact.sum())
    else:
        chosen = rng.permutation(count)
    return np.asarray(np.resize(chosen, -(-count // batch_size) * batch_size), dtype=np.int64)
