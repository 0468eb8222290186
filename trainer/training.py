"""Training, from pictures to the float network: features once, the head on them, and fine-tuning where that pays."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge.preprocess import read_picture
from trainer.augment import measure_framing
from trainer.backbones import weights_digest
from trainer.checkpoint import Checkpoint
from trainer.features import Features, cached_features
from trainer.finetune import Task, finetune, score_pictures
from trainer.head_training import score, train_head, train_on_all, without_patience
from trainer.network import assemble, build_network
from trainer.team import ALONE, Team
from trainer.views import Pictures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import keras

    from edge.model_card import InputSpec
    from trainer.augment import Framing
    from trainer.checkpoint import EpochRecord
    from trainer.data import DataSet
    from trainer.network import Network
    from trainer.progress import Step, Steps
    from trainer.recipe import AugmentRecipe, Recipe
    from trainer.scored import Scored
    from trainer.split import Split

_FRAMING_PICTURES = 64
PLENTY = 2000
"""Validation pictures from which on nothing is gained by learning from them too, and by cross-validation."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A float network, how it came about, and what it says of the validation pictures.

    Attributes:
        stage: whose weights these are: ``head``, ``finetune``, ``scratch``, or ``none`` for an ``embed`` model.
        validation: what a network says of pictures that it did not learn from: of those of the split, or, as a head on
            frozen features trains on all in the end, of all by cross-validation.
        augment: with its framing settled.
    """

    network: Network
    stage: str
    history: tuple[EpochRecord, ...]
    validation: Scored
    augment: AugmentRecipe

    def model(self, temperature: float = 1.0) -> keras.Model:
        """One graph: raw pixels to ``scores`` and ``embedding``."""
        return assemble(self.network, temperature)


def train(
    data: DataSet,
    parts: Split,
    spec: InputSpec,
    recipe: Recipe,
    *,
    steps: Steps,
    workdir: Path,
    team: Team = ALONE,
    on_epoch: Callable[[EpochRecord], None] = lambda _record: None,
) -> Trained:
    """Train what the recipe says. The same recipe and data give the same weights on the same machine.

    Args:
        data: the pictures.
        parts: which are learnt from, and which decide; those of ``test`` are not touched.
        spec: with its size set.
        recipe: how.
        steps: shows progress.
        workdir: for cached features and checkpoints; what an interrupted training left there is used. Each process
            of a team needs one of its own.
        team: who trains together.
        on_epoch: called with each record of the history.

    Raises:
        ConfigError: unknown backbone, or fewer blocks than are to be unfrozen.
        WeightsError: the weights are missing or do not fit.
    """
    import keras

    keras.utils.set_random_seed(recipe.seed)
    augment = _settled(data, parts, recipe, steps)
    with steps.step("build the backbone") as step:
        network = build_network(recipe, len(data.labels))
        step.outcome = f"{recipe.backbone.name}, {recipe.backbone.size_px} px, weights: {_short(recipe)}"
    network.backbone.set_weights(team.first(network.backbone.get_weights()))
    task = Task(network, data, parts, Pictures(data, spec), recipe, augment, team)
    if recipe.from_scratch:
        history = _finetune(task, steps, workdir, on_epoch)
        return Trained(network, "scratch", tuple(history), score_pictures(task), augment)
    features = _features(task, steps, workdir)
    if recipe.kind == "embed":
        return Trained(network, "none", (), score(network, features.validation), augment)
    initial = head_of(network).get_weights()
    with steps.step("train the head") as step:
        history = train_head(network, features, recipe.train, seed=recipe.seed, on_epoch=_shown(step, on_epoch))
    if recipe.train.effort == "full" and recipe.finetune.blocks != 0:
        head = head_of(network).get_weights()
        frozen, before = network.backbone.get_weights(), score(network, features.validation)
        features.let_go()
        tuned = _finetune(task, steps, workdir, on_epoch)
        scored = score_pictures(task)
        if tuned and scored.is_no_worse_than(before):
            return Trained(network, "finetune", (*history, *tuned), scored, augment)
        steps.note(
            f"fine-tuning did not pay on the {len(parts.validation)} validation pictures (loss {scored.loss:.3f}, "
            f"before {before.loss:.3f}): the frozen backbone is kept"
        )
        network.backbone.set_weights(frozen)
        head_of(network).set_weights(head)
        history += tuned
    if len(parts.validation) >= PLENTY:
        return Trained(network, "head", tuple(history), score(network, features.validation), augment)
    with steps.step("train on all"):
        settled = without_patience(recipe.train, history)
        validation = train_on_all(network, features, settled, initial, seed=recipe.seed)
    return Trained(network, "head", tuple(history), validation, augment)


def _settled(data: DataSet, parts: Split, recipe: Recipe, steps: Steps) -> AugmentRecipe:
    framing = look_at_framing(data, parts, recipe.seed)
    augment = framing.settle(recipe.augment)
    if recipe.augment.framing == "auto":
        found = "of one fixed scene" if framing.is_fixed else "framed freely"
        steps.note(
            f"the pictures look {found} (correlation {framing.correlation:.2f}): "
            f"{'mirrored' if augment.flip else 'never mirrored'}, "
            f"{f'cropped down to {augment.crop:.0%}' if augment.crop != 1 else 'nudged only'}, "
            f"{f'turned by up to {augment.turn_deg:.0f} degrees' if augment.turn_deg else 'not turned'}; "
            "see augment.framing"
        )
    return augment


def look_at_framing(data: DataSet, parts: Split, seed: int) -> Framing:
    """What some of the training pictures have in common; the seed chooses them."""
    some = np.random.default_rng((seed, 3)).permutation(parts.train)[:_FRAMING_PICTURES]
    return measure_framing(read_picture(data.samples[index].path) for index in some)


def train_frozen(
    task: Task, steps: Steps, workdir: Path, on_epoch: Callable[[EpochRecord], None]
) -> tuple[list[EpochRecord], Scored]:
    """Train the head alone, on the features of the frozen backbone, which are cached in ``workdir``.

    Returns:
        The history, and what the network says of the validation pictures.
    """
    features = _features(task, steps, workdir)
    with steps.step("train the head") as step:
        settings, seed = task.recipe.train, task.recipe.seed
        history = train_head(task.network, features, settings, seed=seed, on_epoch=_shown(step, on_epoch))
    return history, score(task.network, features.validation)


def _features(task: Task, steps: Steps, workdir: Path) -> Features:
    recipe, parts = task.recipe, task.parts
    views = task.augment.views if recipe.kind != "embed" else 0
    augment = msgspec.structs.replace(task.augment, views=views)
    with steps.step("features", len(parts.validation) + len(parts.train) * (1 + views)) as step:
        return cached_features(
            task.network,
            task.data,
            parts,
            task.pictures,
            recipe,
            augment,
            folder=workdir,
            team=task.team,
            on_picture=step.advance,
        )


def _finetune(task: Task, steps: Steps, workdir: Path, on_epoch: Callable[[EpochRecord], None]) -> list[EpochRecord]:
    import keras

    scratch = task.recipe.from_scratch
    weights = task.team.first_bytes((weights_digest(task.recipe.backbone) or "").encode()).decode()
    made_by = [keras.backend.backend(), weights]
    key = json.dumps([task.data.fingerprint, msgspec.to_builtins(task.recipe), task.parts.train, made_by])
    checkpoint = Checkpoint(workdir / "finetune.npz", hashlib.sha256(key.encode()).hexdigest())
    with steps.step("train from scratch" if scratch else "fine-tune", task.recipe.finetune.epochs) as step:
        records = finetune(
            task,
            checkpoint,
            mixed_precision=task.recipe.train.mixed_precision and has_gpu(),
            on_epoch=_shown(step, on_epoch),
        )
    if len(records) < task.recipe.finetune.epochs:
        steps.note(f"fine-tuning ended after {len(records)} of {task.recipe.finetune.epochs} epochs; the best is kept")
    return records


def _shown(step: Step, on_epoch: Callable[[EpochRecord], None]) -> Callable[[EpochRecord], None]:
    def show(record: EpochRecord) -> None:
        step.outcome = f"validation {record.val_accuracy:.1%} right, loss {record.val_loss:.3f}"
        step.advance()
        on_epoch(record)

    return show


def has_gpu() -> bool:
    """Whether what computes sees a GPU."""
    import keras

    return any("gpu" in name for name in keras.distribution.list_devices())


def head_of(network: Network) -> keras.Model:
    """The head of a network that answers."""
    assert network.head is not None  # noqa: S101  embed models have returned by now
    return network.head


def _short(recipe: Recipe) -> str:
    return recipe.backbone.weights.rstrip("/").rpartition("/")[2]
