"""Folded batch normalization: the same answers, the same gradients, the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainer.backbones import build_backbone
from trainer.recipe import BackboneRecipe

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from trainer.backbone_blocks import unfreeze  # noqa: E402  they need Keras
from trainer.folding import AddingNormalization, clone  # noqa: E402

SIDE_PX = 64


def plain_and_folded(name: str, alpha: float | None, side_px: int = SIDE_PX) -> tuple[keras.Model, keras.Model]:
    """A backbone whose normalization does something, and its folded copy."""
    plain = build_backbone(BackboneRecipe(name=name, alpha=alpha, weights="none", size_px=side_px))
    rng = np.random.default_rng(0)
    for layer in plain.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, values.shape) for values in layer.get_weights()])
    folded = clone(plain, fold=True)
    folded.set_weights(plain.get_weights())
    return plain, folded


def gradients(model: keras.Model, pictures: Any) -> list[Any]:
    unfreeze(model, "all")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(pictures, training=True)))
    return [np.asarray(each) for each in tape.gradient(loss, model.trainable_variables)]


def apart(expected: Any, found: Any) -> float:
    return float(np.linalg.norm(found - expected) / max(1e-9, float(np.linalg.norm(expected))))


@pytest.mark.parametrize(
    ("name", "alpha", "side_px"),
    [
        ("mobilenetv2", 0.35, 64),
        pytest.param("resnet50", None, 64, marks=pytest.mark.slow),  # its convolutions have biases
        pytest.param("inceptionv3", None, 96, marks=pytest.mark.slow),  # its normalization has no scale
        pytest.param("mobilenetv3small", 0.75, 64, marks=pytest.mark.slow),
        pytest.param(
            "densenet121", None, 64, marks=pytest.mark.slow
        ),  # normalizes before convolutions, and after joins
        pytest.param("xception", None, 96, marks=pytest.mark.slow),  # separable convolutions stay as they are
    ],
)
def test_a_folded_backbone_answers_and_learns_like_the_plain_one(name: str, alpha: float | None, side_px: int) -> None:
    plain, folded = plain_and_folded(name, alpha, side_px)
    assert any(isinstance(layer, AddingNormalization) for layer in folded.layers) or name == "xception"
    pictures = np.random.default_rng(1).uniform(-1, 1, (2, side_px, side_px, 3)).astype(np.float32)
    expected, found = (np.asarray(model(pictures, training=False)) for model in (plain, folded))
    assert apart(expected, found) < 1e-4
    for wanted, given in zip(gradients(plain, pictures), gradients(folded, pictures), strict=True):
        assert apart(wanted, given) < 5e-2  # clipped here and not there: a few activations at exactly 0 or 6


def test_a_copy_of_a_folded_backbone_is_folded_unless_its_normalization_is_to_learn() -> None:
    _, folded = plain_and_folded("mobilenetv2", 0.35)
    again, plain = clone(folded), clone(folded, fold=False)
    assert [weight.path for weight in again.weights] == [weight.path for weight in folded.weights]
    assert [weight.shape for weight in plain.weights] == [weight.shape for weight in folded.weights]
    assert sum(isinstance(layer, AddingNormalization) for layer in again.layers) == 52
    assert not any(isinstance(layer, AddingNormalization) for layer in plain.layers)
