"""What one trial measures: how well a recipe does on the validation pictures.

It trains by the same functions as ``fit``, in the same order and with the same seeds, so that ``fit`` with a trial's
recipe goes the same way; of few pictures it then lets the head learn from those to validate as well. Where only the
head, its training and its input vary, a trial is a matter of seconds: the features of each backbone are computed once
for all trials, and fine-tuning is left to ``fit``.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import msgspec

from trainer.finetune import Task
from trainer.network import build_network, with_new_head
from trainer.training import look_at_framing, train, train_frozen
from trainer.views import Pictures

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.model_card import InputSpec
    from trainer.augment import Framing
    from trainer.checkpoint import EpochRecord
    from trainer.data import DataSet
    from trainer.network import Network
    from trainer.progress import Steps
    from trainer.recipe import Recipe
    from trainer.split import Split

LOOKS = 12
"""A trial tells how it does after each twelfth of its training: trials of other lengths are compared there."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the validation pictures say of the network that ``fit`` would keep: cross-entropy in nats, accuracy 0…1."""

    loss: float
    accuracy: float


@dataclass(slots=True)
class Bench:
    """Where trials run.

    Attributes:
        data: the pictures.
        parts: which of them are learnt from, and which decide; the same for all trials.
        cache: folder of cached features; processes may share it.
        steps: shows progress.
        whole: whether a trial is all of the recipe's training, fine-tuning included, and not the head alone.
    """

    data: DataSet
    parts: Split
    cache: Path
    steps: Steps
    whole: bool = False
    _networks: dict[bytes, Network] = field(default_factory=dict)
    _framings: dict[int, Framing] = field(default_factory=dict)

    def run(self, recipe: Recipe, *, on_look: Callable[[int, float], None]) -> Outcome:
        """Train a recipe and judge it on the validation pictures.

        Args:
            recipe: as a trial has it.
            on_look: called with 0…12, the twelfths of the training that are done, and the validation loss; may raise
                to stop.

        Raises:
            ConfigError: the recipe names an unknown backbone, or more blocks of it than there are.
            WeightsError: its weights are missing or do not fit.
        """
        spec = recipe.input_spec
        if recipe.from_scratch or (self.whole and recipe.train.effort == "full"):
            return self._whole(recipe, spec, on_look)
        augment = self._framing(recipe.seed).settle(recipe.augment)
        network = with_new_head(self._network(recipe), recipe, len(self.data.labels))
        task = Task(network, self.data, self.parts, Pictures(self.data, spec), recipe, augment)
        looks = _Looks("head", recipe.train.epochs, on_look)
        _, scored = train_frozen(task, self.steps, self.cache, looks)
        return Outcome(scored.loss, scored.accuracy)

    def _whole(self, recipe: Recipe, spec: InputSpec, on_look: Callable[[int, float], None]) -> Outcome:
        looks = _Looks("scratch" if recipe.from_scratch else "finetune", recipe.finetune.epochs, on_look)
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="trial-", dir=self.cache) as folder:
            trained = train(self.data, self.parts, spec, recipe, steps=self.steps, workdir=Path(folder), on_epoch=looks)
        return Outcome(trained.validation.loss, trained.validation.accuracy)

    def _network(self, recipe: Recipe) -> Network:
        """Built once per backbone; only the newest is kept."""
        key = msgspec.json.encode([recipe.backbone, type(recipe.pooling).__name__])
        if key not in self._networks:
            self._networks.clear()
            keras.utils.set_random_seed(recipe.seed)
            self._networks[key] = build_network(recipe, len(self.data.labels))
        return self._networks[key]

    def _framing(self, seed: int) -> Framing:
        if seed not in self._framings:
            self._framings[seed] = look_at_framing(self.data, self.parts, seed)
        return self._framings[seed]


class _Looks:
    """Passes the records of one stage on, by the share of its epochs that is done."""

    def __init__(self, stage: str, epochs: int, on_look: Callable[[int, float], None]) -> None:
        self._stage = stage
        self._epochs = epochs
        self._on_look = on_look
        self._last = -1

    def __call__(self, record: EpochRecord) -> None:
        done = record.epoch * LOOKS // self._epochs
        if record.stage == self._stage and done > self._last:
            self._last = done
            self._on_look(done, record.val_loss)
