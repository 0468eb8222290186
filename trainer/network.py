"""The Keras graph of a model: raw pixels, scaling, backbone, pooling, head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.backbones import build_backbone, kind_of
from trainer.heads import apply_calibrated, build_head, pool
from trainer.scaling import scale_pixels

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt

    from edge.model_card import Kind
    from trainer.recipe import Recipe

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Network:
    """The two halves of a model, and the backbone inside the first.

    Attributes:
        backbone: scaled pixels to a map of features.
        extractor: ``(n, size, size, 3) float32 RGB 0…255`` to ``(n, features) float32``.
        head: features to logits, ``(n, outputs) float32``; ``None`` for an ``embed`` model.
    """

    kind: Kind
    backbone: keras.Model
    extractor: keras.Model
    head: keras.Model | None

    def embed(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Features of prepared pictures: ``(n, H, W, 3) uint8 RGB`` to ``(n, features) float32``."""
        return np.asarray(self.extractor.predict_on_batch(pictures.astype(np.float32)), dtype=np.float32)

    def logits(self, embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """``(n, features)`` to ``(n, outputs) float32``; no outputs for an ``embed`` model."""
        if self.head is None or not len(embeddings):
            return np.zeros((len(embeddings), 0), np.float32)
        return np.asarray(self.head.predict(embeddings, batch_size=_BATCH * 8, verbose=0), dtype=np.float32)


def outputs_of(kind: Kind, classes: int) -> int:
    """How many values the answer has: a binary one says yes or no by a single one."""
    return {"binary": 1, "embed": 0}.get(kind, classes)


def build_network(recipe: Recipe, classes: int) -> Network:
    """Build both halves, the backbone with its weights and frozen.

    Raises:
        ConfigError: unknown backbone.
        WeightsError: the weights are missing or do not fit.
    """
    import keras

    from trainer.folding import clone

    backbone = build_backbone(recipe.backbone)
    if not recipe.from_scratch:
        backbone, weights = clone(backbone, fold=True), backbone.get_weights()
        backbone.set_weights(weights)
        backbone.trainable = False
    size_px = recipe.backbone.size_px
    pixels = keras.Input((size_px, size_px, 3), dtype="float32", name="image")
    features = backbone(scale_pixels(pixels, kind_of(recipe.backbone).mode), training=None)
    pooled = pool(recipe.pooling, features)
    return with_new_head(
        Network(recipe.kind, backbone, keras.Model(pixels, pooled, name="extractor"), None), recipe, classes
    )


def with_new_head(network: Network, recipe: Recipe, classes: int) -> Network:
    """The same extractor with an untrained head of the recipe's blocks."""
    if network.kind == "embed":
        return network
    width, outputs = network.extractor.output.shape[-1], outputs_of(network.kind, classes)
    head = build_head(recipe.head.blocks, width=width, outputs=outputs, seed=recipe.seed)
    return replace(network, head=head)


def joined(network: Network, recipe: Recipe, size_px: int | None) -> keras.Model:
    """Backbone and head of the network as one model, raw pixels to logits; ``None`` for pictures of several sizes."""
    import keras

    assert network.head is not None  # noqa: S101  an embed model has nothing to train
    pixels = keras.Input((size_px, size_px, 3), dtype="float32", name="image")
    features = network.backbone(scale_pixels(pixels, kind_of(recipe.backbone).mode))
    return keras.Model(pixels, network.head(pool(recipe.pooling, features)), name="joined")


def twin(network: Network, size_px: int | None, *, dtype: str | None = None) -> Network:
    """The same layers with weights of their own, which train: for pictures of another size, in another precision.

    ``joined`` models of both have the same weights in the same order.
    """
    import keras

    from trainer.folding import clone

    assert network.head is not None  # noqa: S101  as above
    backbone = clone(network.backbone, keras.Input((size_px, size_px, 3)), dtype=dtype)
    return replace(network, backbone=backbone, head=keras.models.clone_model(network.head))


def assemble(network: Network, temperature: float) -> keras.Model:
    """One model with named outputs ``scores`` (calibrated) and ``embedding``; an ``embed`` model has the latter alone.

    The temperature is folded into the last layer's weights, so that any TFLite program gets calibrated scores.
    """
    import keras
    from keras import layers

    embedding = network.extractor.output
    outputs: dict[str, Any] = {"embedding": embedding}
    if network.head is not None:
        answer: Any = layers.Softmax if network.kind == "classify" else layers.Activation
        options = {} if network.kind == "classify" else {"activation": "sigmoid"}
        calibrated = apply_calibrated(network.head, embedding, temperature)
        outputs = {"scores": answer(name="scores", **options)(calibrated), **outputs}
    return keras.Model(network.extractor.input, outputs, name="sightpost")
