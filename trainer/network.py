"""The Keras graph of a model: raw pixels, scaling, backbone, pooling, head; and its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.backbones import build_backbone, kind_of
from trainer.scaling import scale_pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

    from trainer.features import Labelled
    from trainer.recipe import HeadRecipe, Recipe

FROM_SCRATCH_MOMENTUM = 0.9
"""Batch-norm statistics must follow within the few hundred steps of a small data set; Keras' 0.999 is for ImageNet."""


@dataclass(frozen=True, slots=True)
class Network:
    """The two halves of a model.

    Attributes:
        extractor: ``(n, size, size, 3) float32 RGB 0…255`` to ``(n, features) float32``.
        head: features to logits, ``(n, classes) float32``.
    """

    extractor: keras.Model
    head: keras.Model


def build_network(recipe: Recipe, classes: int) -> Network:
    """Build both halves, the backbone with its weights.

    Raises:
        ConfigError: unknown backbone.
        WeightsError: the weights are missing or do not fit.
    """
    extractor = build_extractor(recipe)
    return Network(extractor, build_head(recipe, extractor.output_shape[-1], classes))


def build_extractor(recipe: Recipe) -> keras.Model:
    """The frozen half: raw pixels to features.

    Raises:
        ConfigError: unknown backbone.
        WeightsError: the weights are missing or do not fit.
    """
    import keras
    from keras import layers

    size_px = recipe.backbone.size_px
    backbone = build_backbone(recipe.backbone)
    pixels = keras.Input((size_px, size_px, 3), dtype="float32", name="image")
    features = backbone(scale_pixels(pixels, kind_of(recipe.backbone).mode), training=None)
    pooled = layers.GlobalAveragePooling2D(name="embedding")(features)
    return keras.Model(pixels, pooled, name="extractor")


def build_head(recipe: Recipe, features: int, classes: int) -> keras.Model:
    """A new head, ``(n, features) float32`` to logits ``(n, classes)``.

    Seeded here and not earlier, so that it does not matter what was built before it.
    """
    import keras
    from keras import layers

    keras.utils.set_random_seed(recipe.seed)
    vector = keras.Input((features,), dtype="float32", name="features")
    dropped = layers.Dropout(recipe.head.dropout, seed=recipe.seed)(vector)
    return keras.Model(vector, layers.Dense(classes, name="logits")(dropped), name="head")


def assemble(network: Network, temperature: float) -> keras.Model:
    """One model with named outputs ``scores`` (calibrated softmax) and ``embedding``.

    The temperature is folded into the last layer's weights, so that any TFLite program gets calibrated scores.
    """
    import keras
    from keras import layers

    logits_layer = network.head.get_layer("logits")
    kernel, bias = logits_layer.get_weights()
    scaled = layers.Dense(bias.shape[0], name="calibrated_logits")
    embedding = network.extractor.output
    scores = layers.Softmax(name="scores")(scaled(embedding))
    scaled.set_weights([kernel / temperature, bias / temperature])
    return keras.Model(network.extractor.input, {"scores": scores, "embedding": embedding}, name="sightpost")


def train_head(
    head: keras.Model,
    features: Labelled,
    recipe: HeadRecipe,
    *,
    on_epoch: Callable[[float], None],
) -> None:
    """Train the head alone, on cached features.

    Args:
        head: from ``build_network``.
        features: inputs ``(n, features) float32``.
        recipe: epochs, rate, batch.
        on_epoch: called with each epoch's loss.
    """
    _fit(head, features, recipe, on_epoch)


def train_from_scratch(
    network: Network,
    pictures: Labelled,
    recipe: HeadRecipe,
    *,
    on_epoch: Callable[[float], None],
) -> None:
    """Train backbone and head together: without pretrained weights a frozen backbone would know nothing.

    Args:
        network: from ``build_network``.
        pictures: inputs ``(n, size, size, 3) uint8 RGB``.
        recipe: epochs, rate, batch.
        on_epoch: called with each epoch's loss.
    """
    joined = unfrozen(network)
    _fit(joined, pictures, recipe, on_epoch)
    _backbone(network).trainable = False


def unfrozen(network: Network) -> keras.Model:
    """Both halves as one, with everything in it to be trained from nothing: raw pixels to logits."""
    import keras

    backbone = _backbone(network)
    backbone.trainable = True
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = FROM_SCRATCH_MOMENTUM
    return keras.Model(network.extractor.input, network.head(network.extractor.output))


def _backbone(network: Network) -> keras.Model:
    import keras

    return next(layer for layer in network.extractor.layers if isinstance(layer, keras.Model))


def _fit(model: keras.Model, data: Labelled, recipe: HeadRecipe, on_epoch: Callable[[float], None]) -> None:
    import keras

    classes = model.output_shape[-1]
    # Rare classes weigh more, or a model of 700 red and 35 yellow lights would never say yellow.
    counts = np.bincount(data.labels, minlength=classes)
    weights = {index: len(data.labels) / (classes * int(count)) for index, count in enumerate(counts)}
    steps = recipe.epochs * int(np.ceil(len(data.labels) / recipe.batch_size))
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps), weight_decay=recipe.weight_decay
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    reporter = keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, logs: on_epoch(float(logs["loss"])))
    model.fit(
        data.inputs,
        data.labels,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        class_weight=weights,
        callbacks=[reporter],
        verbose=0,
    )
