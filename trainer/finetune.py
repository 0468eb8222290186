"""The backbone trains on with the head, its last blocks or all of it; resumable, and ended by the validation."""

from __future__ import annotations

import contextlib
import functools
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from trainer.backbone_blocks import unfreeze
from trainer.balance import sample_weights
from trainer.checkpoint import Checkpoint, EpochRecord, Progress
from trainer.features import embeddings
from trainer.head_recipe import Flatten
from trainer.network import joined, twin
from trainer.optimizers import build_loss, build_optimizer
from trainer.scored import Scored, answer_targets
from trainer.team import ALONE, Team
from trainer.training_batches import TrainingBatches, batch_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import keras
    import numpy.typing as npt

    from edge.frame import Image
    from trainer.data import DataSet
    from trainer.network import Network
    from trainer.recipe import AugmentRecipe, Recipe
    from trainer.split import Split
    from trainer.views import Pictures

_STRIDE = 32
"""Sides that all backbones halve five times without a remainder; others would pad differently."""
SCRATCH_MOMENTUM = 0.9
"""Batch-norm statistics must follow within the few hundred steps of a small data set; Keras' 0.999 is for ImageNet."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is fine-tuned on what."""

    network: Network
    data: DataSet
    parts: Split
    pictures: Pictures
    recipe: Recipe
    augment: AugmentRecipe
    team: Team = ALONE


def sizes_px(recipe: Recipe) -> list[int]:
    """The side of the training pictures in each epoch: ``early_size`` during the first half, then ``train_size``."""
    side, finetune = recipe.backbone.size_px, recipe.finetune
    if side % _STRIDE or isinstance(recipe.pooling, Flatten):
        return [side] * finetune.epochs
    early, late = (
        max(_STRIDE, round(side * size / _STRIDE) * _STRIDE) for size in (finetune.early_size, finetune.train_size)
    )
    return [early if epoch < finetune.epochs // 2 else late for epoch in range(finetune.epochs)]


def score_pictures(task: Task) -> Scored:
    """What the network says of the validation pictures as the device prepares them."""
    network, indices = task.network, task.parts.validation
    found = np.concatenate(list(embeddings(network, task.pictures.plain, indices, task.team)))
    return Scored(network.kind, network.logits(found), found, task.data.targets(indices))


def finetune(
    task: Task,
    checkpoint: Checkpoint,
    *,
    mixed_precision: bool = False,
    on_epoch: Callable[[EpochRecord], None] = lambda _record: None,
) -> list[EpochRecord]:
    """Train on, and leave the best averaged weights in the network; Ctrl-C keeps the best so far.

    In a team of processes all do the same, with what process 0 has: its weights, its checkpoint, its decisions. There,
    Ctrl-C ends the training.

    Args:
        task: what is trained on what.
        checkpoint: taken up where it was left, written after each epoch.
        mixed_precision: compute in half precision, for GPUs.
        on_epoch: called with each record, those from before an interruption included.
    """
    run = _Run(task, mixed_precision=mixed_precision)
    progress = run.resume(checkpoint)
    for record in progress.history:
        on_epoch(record)
    recipe, team = task.recipe.finetune, task.team
    best = run.best_scored
    with contextlib.suppress(*(() if team.count > 1 else (KeyboardInterrupt,))):
        for epoch in range(len(progress.history), recipe.epochs):
            if recipe.patience and epoch - 1 - progress.best_epoch >= recipe.patience:
                break
            record, scored = run.epoch(epoch)
            if best is None or scored.loss < best.loss:
                best = scored
            # The later the calmer: an earlier epoch wins only where chance does not explain its lead.
            improved = bool(team.first([np.array(scored.is_no_worse_than(best))])[0])
            if improved:
                run.best = run.average
            progress = Progress((*progress.history, record), epoch if improved else progress.best_epoch)
            run.best_scored = best
            if team.rank == 0:
                checkpoint.save(progress, run.state())
            on_epoch(record)
    if progress.history:
        run.show(run.best)
    return list(progress.history)


class _Run:
    """A training under way: the model that trains, its averaged weights, and the best of those."""

    def __init__(self, task: Task, *, mixed_precision: bool) -> None:
        recipe = task.recipe.finetune
        self._task = task
        self._sizes_px = sizes_px(task.recipe)
        size_px = self._sizes_px[0] if len(set(self._sizes_px)) == 1 else None
        targets, balance = task.data.targets(task.parts.train), task.recipe.train.balance
        self._batches = TrainingBatches(
            view=functools.partial(self._view, self._sizes_px[0]),
            wanted=answer_targets(task.network.kind, targets),
            weights=sample_weights(targets) if balance != "none" else np.ones(len(targets), np.float32),
            balance=balance,
            mixup=recipe.mixup,
            size=batch_size(recipe.batch_size, len(targets), task.team),
            seed=task.recipe.seed,
            team=task.team,
        )
        self._shown = joined(task.network, task.recipe, task.recipe.backbone.size_px)
        initial = task.team.first(self._shown.get_weights())
        with task.team.scope():
            copy = twin(task.network, size_px, dtype="mixed_float16" if mixed_precision else None)
            self._model = joined(copy, task.recipe, size_px)
            self._model.set_weights(initial)
            unfreeze(copy.backbone, recipe.blocks, batch_norm=task.recipe.from_scratch)
            if task.recipe.from_scratch:
                _hasten_batch_norm(copy.backbone)
            self._model.compile(
                optimizer=build_optimizer(
                    recipe, self._batches.steps * recipe.epochs, warmup=recipe.warmup, scale_loss=mixed_precision
                ),
                loss=build_loss(task.network.kind, recipe.label_smoothing),
            )
            self._model.optimizer.build(self._model.trainable_variables)
        self.average: list[npt.NDArray[np.float32]] = initial
        self.best = self.average
        self.best_scored: Scored | None = None

    def epoch(self, epoch: int) -> tuple[EpochRecord, Scored]:
        """Train for one epoch, move the average, and ask the validation pictures about it."""
        started = time.perf_counter()
        batches = replace(self._batches, view=functools.partial(self._view, self._sizes_px[epoch]))
        with self._task.team.scope():
            if epoch and self._sizes_px[epoch] != self._sizes_px[epoch - 1]:
                self._model.make_train_function(force=True)  # as if it began here: the same after an interruption
            fitted = self._model.fit(
                batches.epoch(epoch),
                steps_per_epoch=self._batches.steps,
                epochs=epoch + 1,
                initial_epoch=epoch,
                shuffle=False,
                verbose=0,
            )
        decay = min(self._task.recipe.finetune.averaging, epoch / (epoch + 2))
        current = self._model.get_weights()
        self.average = [old + (new - old) * (1 - decay) for old, new in zip(self.average, current, strict=True)]
        self.show(self.average)
        scored = score_pictures(self._task)
        loss = float(fitted.history["loss"][0])
        stage = "scratch" if self._task.recipe.from_scratch else "finetune"
        seconds = time.perf_counter() - started
        return EpochRecord(stage, epoch + 1, loss, scored.loss, scored.accuracy, seconds), scored

    def _view(self, size_px: int, row: int, seed: Sequence[int]) -> Image:
        task = self._task
        spec = msgspec.structs.replace(task.pictures.spec, height_px=size_px, width_px=size_px)
        return task.pictures.view(task.parts.train[row], spec, task.augment, seed)

    def show(self, weights: Sequence[npt.NDArray[np.float32]]) -> None:
        """Put weights into the network that will be exported."""
        self._shown.set_weights(weights)

    def state(self) -> dict[str, Sequence[npt.NDArray[Any]]]:
        """All that the next epoch depends on."""
        optimizer = [np.asarray(variable) for variable in self._model.optimizer.variables]
        model = [np.asarray(variable) for variable in self._model.variables]
        assert self.best_scored is not None  # noqa: S101  an epoch has been
        answers = [self.best_scored.logits, self.best_scored.embeddings, self.best_scored.targets]
        return {"model": model, "optimizer": optimizer, "average": self.average, "best": self.best, "scored": answers}

    def resume(self, checkpoint: Checkpoint) -> Progress:
        """Take up what an interrupted run has left."""
        saved = checkpoint.decode(self._task.team.first_bytes(checkpoint.content()))
        if saved is None:
            return Progress()
        progress, groups = saved
        with self._task.team.scope():
            for variables, values in (
                (self._model.variables, groups["model"]),
                (self._model.optimizer.variables, groups["optimizer"]),
            ):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value)
        self.average, self.best = groups["average"], groups["best"]
        logits, embeddings, targets = groups["scored"]
        self.best_scored = Scored(self._task.network.kind, logits, embeddings, targets)
        return progress


def _hasten_batch_norm(backbone: keras.Model) -> None:
    import keras

    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = SCRATCH_MOMENTUM
