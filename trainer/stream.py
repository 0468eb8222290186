"""Training data in batches, read when they are needed, in an order that every process of a cluster agrees on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from trainer.recipe import HeadRecipe

    Load = Callable[[npt.NDArray[np.int64], int], npt.NDArray[np.generic]]
    """Indices and the number of the epoch to rows, one per index."""


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras ships no types
    """Shuffled batches ``(inputs, labels, weights)``, of which each process of a cluster reads its own part.

    Args:
        load: reads rows; called from a few threads at once.
        labels: ``(n,)`` class indices of all rows.
        classes: how many there are.
        batch_size: rows per step over all processes; rounded up to a multiple of their number.
        seed: of the order; order and views depend on seed, epoch and row alone, never on who reads them.
        rank: of this process.
        count: processes in all.
    """

    def __init__(
        self,
        load: Load,
        labels: npt.NDArray[np.int64],
        *,
        classes: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        count: int = 1,
    ) -> None:
        super().__init__(workers=2, max_queue_size=4)
        self._load = load
        self._labels = labels
        # Rare classes weigh more, as in training from memory.
        counts = np.maximum(np.bincount(labels, minlength=classes), 1)
        self._weights = (len(labels) / (classes * counts)).astype(np.float32)
        self._share = math.ceil(min(batch_size, len(labels)) / count)
        self._seed = seed
        self._rank = rank
        self._count = count
        self._epoch = 0
        self._order = self._shuffled()

    def __len__(self) -> int:
        return math.ceil(len(self._labels) / (self._share * self._count))

    def __getitem__(self, step: int) -> tuple[Any, ...]:
        begin = (step * self._count + self._rank) * self._share
        # The last batch is filled up from the beginning, since processes must step together with as many rows each.
        rows = np.take(self._order, range(begin, begin + self._share), mode="wrap")
        labels = self._labels[rows]
        return self._load(rows, self._epoch).astype(np.float32), labels, self._weights[labels]

    def begin(self, epoch: int) -> None:
        """Shuffle for an epoch. Told from outside, for Keras' own calls to count epochs by differ between backends."""
        self._epoch = epoch
        self._order = self._shuffled()

    def _shuffled(self) -> npt.NDArray[np.int64]:
        return np.random.default_rng([self._seed, self._epoch]).permutation(len(self._labels))


def train_streamed(
    model: keras.Model, batches: Batches, recipe: HeadRecipe, *, on_epoch: Callable[[float], None]
) -> None:
    """Train on batches as they come, with the optimizer, schedule and loss of training from memory.

    Args:
        model: inputs to logits.
        batches: of its inputs.
        recipe: epochs, rate, decay.
        on_epoch: called with each epoch's loss.
    """
    schedule = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.epochs * len(batches))
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    reporter = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, _logs: batches.begin(epoch),
        on_epoch_end=lambda _epoch, logs: on_epoch(float(logs["loss"])),
    )
    model.fit(batches, epochs=recipe.epochs, shuffle=False, callbacks=[reporter], verbose=0)
