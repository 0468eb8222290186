"""What one trial measures: a recipe's validation loss, with the features of its backbone computed once for all trials.

The only place that knows how ``fit`` trains; it does the same in the same order with the same seeds, so that ``fit``
with a trial's recipe gives that trial's network.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge.model_card import InputSpec
from trainer.calibrate import softmax
from trainer.data import DataSet, Split, split
from trainer.feature_store import FeatureStore
from trainer.features import BATCH, Labelled, extract_batches, stack, views
from trainer.network import Network, build_extractor, build_head, train_from_scratch, train_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import keras
    import numpy.typing as npt

    from edge.frame import Image
    from trainer.progress import Steps
    from trainer.recipe import AugmentRecipe, Recipe

_JUDGED_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Outcome:
    """Validation figures of a network after its last epoch: cross-entropy in nats, accuracy 0…1."""

    loss: float
    accuracy: float


@dataclass(slots=True)
class Bench:
    """Where trials run.

    Attributes:
        data: the pictures.
        cache: folder of feature stores; processes may share it.
        steps: shows progress.
    """

    data: DataSet
    cache: Path
    steps: Steps
    _extractors: dict[str, keras.Model] = field(default_factory=dict)

    def run(self, recipe: Recipe, *, on_epoch: Callable[[int, float], None]) -> Outcome:
        """Train a recipe and judge it on the validation part.

        Args:
            recipe: as a trial has it.
            on_epoch: called with the number of the epoch, from 0, and its validation loss; may raise to stop.

        Raises:
            ConfigError: the recipe names an unknown backbone.
            WeightsError: its weights are missing or do not fit.
        """
        rng = np.random.default_rng(recipe.seed)
        parts = split(self.data, holdout=recipe.holdout, rng=rng)
        side, resize, kernel = recipe.backbone.size_px, recipe.input.resize, recipe.input.kernel
        spec = InputSpec(height_px=side, width_px=side, color="rgb", resize=resize, kernel=kernel, scaling="raw")
        if recipe.backbone.weights == "none":
            return self._from_scratch(recipe, parts, spec, rng, on_epoch)
        train = self._features(recipe, "train", parts, recipe.augment, spec, rng)
        held_out = self._features(recipe, "held out", parts, None, spec, rng)
        head = build_head(recipe, train.inputs.shape[1], len(self.data.labels))
        judge = _Judge(head, held_out, on_epoch)
        train_head(head, train, recipe.head, on_epoch=judge)
        return judge.last

    def _from_scratch(
        self,
        recipe: Recipe,
        parts: Split,
        spec: InputSpec,
        rng: np.random.Generator,
        on_epoch: Callable[[int, float], None],
    ) -> Outcome:
        import keras

        keras.utils.set_random_seed(recipe.seed)
        extractor = build_extractor(recipe)
        network = Network(extractor, build_head(recipe, extractor.output_shape[-1], len(self.data.labels)))
        prepared = stack(views(self.data, parts.train, spec, recipe.augment, rng), on_picture=_ignore)
        held_out = stack(views(self.data, parts.held_out, spec, None, rng), on_picture=_ignore)
        joined = keras.Model(network.extractor.input, network.head(network.extractor.output))
        judge = _Judge(joined, held_out, on_epoch)
        train_from_scratch(network, prepared, recipe.head, on_epoch=judge)
        return judge.last

    def _features(
        self,
        recipe: Recipe,
        name: str,
        parts: Split,
        augment: AugmentRecipe | None,
        spec: InputSpec,
        rng: np.random.Generator,
    ) -> Labelled:
        indices = parts.train if name == "train" else parts.held_out
        repeats = 1 + (augment.views if augment else 0)
        rows = len(indices) * repeats
        asked = [self.data.fingerprint, name, recipe.seed, recipe.holdout, recipe.backbone, recipe.input, augment]
        key = hashlib.sha256(msgspec.json.encode(asked)).hexdigest()[:24]
        labels = np.repeat([self.data.samples[index].label for index in indices], repeats)
        extractor = self._extractor(recipe)
        store = FeatureStore.open(self.cache, key, rows=rows, width=extractor.output_shape[-1])
        if not store.complete:
            with store.writing(block=BATCH) as writer, self.steps.step(f"features ({name})", rows) as step:
                prepared = self._prepared(indices, spec, augment, rng, skip=writer.done)
                for batch in extract_batches(extractor, prepared, on_picture=step.advance):
                    writer.append(batch)
        return Labelled(store.read(range(rows)), labels.astype(np.int64))

    def _prepared(
        self,
        indices: tuple[int, ...],
        spec: InputSpec,
        augment: AugmentRecipe | None,
        rng: np.random.Generator,
        skip: int,
    ) -> Iterator[Image]:
        """All views but the first few, which an interrupted process has left done; they are drawn all the same."""
        for number, (picture, _) in enumerate(views(self.data, indices, spec, augment, rng)):
            if number >= skip:
                yield picture

    def _extractor(self, recipe: Recipe) -> keras.Model:
        """Built once per backbone; only the newest is kept."""
        key = msgspec.json.encode(recipe.backbone).decode()
        if key not in self._extractors:
            self._extractors.clear()
            self._extractors[key] = build_extractor(recipe)
        return self._extractors[key]


class _Judge:
    """Judges a network after each epoch, on plain cross-entropy whatever it is trained with."""

    def __init__(self, model: keras.Model, held_out: Labelled, on_epoch: Callable[[int, float], None]) -> None:
        self._model = model
        self._held_out = held_out
        self._on_epoch = on_epoch
        self._epoch = 0
        self.last = Outcome(float("inf"), 0.0)

    def __call__(self, _training_loss: float) -> None:
        inputs = self._held_out.inputs
        batches = [inputs[begin : begin + _JUDGED_AT_ONCE] for begin in range(0, len(inputs), _JUDGED_AT_ONCE)]
        logits = [self._model.predict_on_batch(batch.astype(np.float32)) for batch in batches]
        self.last = judged(np.concatenate(logits), self._held_out.labels)
        self._on_epoch(self._epoch, self.last.loss)
        self._epoch += 1


def judged(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> Outcome:
    """Cross-entropy and accuracy of ``(n, classes)`` logits against ``(n,)`` class indices."""
    scores = softmax(logits)
    right = scores[np.arange(len(labels)), labels]
    return Outcome(float(-np.log(np.maximum(right, 1e-12)).mean()), float((scores.argmax(axis=1) == labels).mean()))


def _ignore() -> None:
    """Progress that nobody watches."""
