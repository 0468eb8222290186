"""The batches of fine-tuning: changed copies of the training pictures, in an order that the seed alone decides.

Each process of a team makes its own part of every batch; together they are what one process would make.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import ConfigError
from trainer.balance import order
from trainer.mix import draw_mix, mix
from trainer.team import ALONE, Team
from trainer.views import ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from edge.frame import Image

    Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class TrainingBatches:
    """What an epoch is made of.

    Attributes:
        view: makes a changed copy of a training picture, ``(H, W, 3) uint8``, of its row and a seed.
        wanted: ``(n, outputs) float32``, what the network should say of each training picture.
        weights: ``(n,) float32``, what each counts.
        balance: how that is brought about, see ``TrainRecipe``.
        mixup: see ``FinetuneRecipe``.
        size: pictures in a batch, of all processes.
        seed: of the order and of the copies.
        team: who shares a batch.
    """

    view: Callable[[int, Sequence[int]], Image]
    wanted: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    balance: str
    mixup: float
    size: int
    seed: int
    team: Team = ALONE

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last one is filled up."""
        return -(-len(self.wanted) // self.size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Pictures, targets and weights of this process's part of each batch."""
        seed = (self.seed, 2, number)
        rng = np.random.default_rng(seed)
        rows = order(self.weights, sampled=self.balance == "sampling", rng=rng, batch_size=self.size)
        part = self.team.part(self.size)

        def make(step: int) -> Batch:
            batch = rows[step * self.size : (step + 1) * self.size]
            share, partners = draw_mix(self.size, self.mixup, np.random.default_rng((*seed, step)))
            own, others = batch[part], batch[partners[part]]
            needed, where = np.unique(np.concatenate([own, others]), return_inverse=True)
            views = np.stack([self.view(int(row), (*seed, step)) for row in needed])
            pictures, wanted = mix(
                share,
                (views[where[: len(own)]], self.wanted[own]),
                (views[where[len(own) :]], self.wanted[others]),
            )
            weights = self.weights[own] if self.balance == "weights" else np.ones(len(own), np.float32)
            return pictures, wanted, weights

        yield from ahead(make, range(self.steps))


def batch_size(wanted: int, pictures: int, team: Team) -> int:
    """A batch of the size of the recipe, or all pictures if there are fewer; each device gets as many of it.

    Raises:
        ConfigError: it cannot be shared evenly.
    """
    if wanted % team.devices or pictures < team.devices:
        raise ConfigError(
            f"finetune.batch_size: {wanted} pictures cannot be shared evenly by {team.devices} devices; "
            f"give a multiple, e.g. --set finetune.batch_size={-(-wanted // team.devices) * team.devices}"
        )
    return min(wanted, pictures // team.devices * team.devices)
