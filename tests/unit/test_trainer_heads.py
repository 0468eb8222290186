"""Named blocks as layers: a user's head is the head that a device runs."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.head_recipe import AveragePool, BatchNorm, Dense, Dropout, Flatten, MaxPool, Sigmoid, Softmax

keras = pytest.importorskip("keras")

from trainer.heads import apply_calibrated, build_head, pool  # noqa: E402  it needs Keras

BLOCKS = (
    AveragePool(name="pool"),
    Dense(name="hidden", units=6),
    BatchNorm(name="norm"),
    Dropout(name="drop", rate=0.9),
    Softmax(name="scores"),
)


def test_each_block_is_a_layer_of_its_name() -> None:
    head = build_head(BLOCKS, width=8, outputs=3, seed=1)
    assert [layer.name for layer in head.layers] == ["features", "hidden", "norm", "drop", "logits"]
    assert head.get_layer("hidden").units == 6
    assert head.output_shape == (None, 3)


@pytest.mark.parametrize(("block", "expected"), [(Flatten(), 2 * 3 * 4), (AveragePool(), 4), (MaxPool(), 4)])
def test_the_first_block_makes_a_vector_of_the_map(block: Flatten | AveragePool | MaxPool, expected: int) -> None:
    features = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    vector = np.asarray(pool(block, features))
    assert vector.shape == (1, expected)
    if isinstance(block, MaxPool):
        assert vector[0].tolist() == [20, 21, 22, 23]
    if isinstance(block, AveragePool):
        assert vector[0].tolist() == [10, 11, 12, 13]


def test_the_temperature_lies_in_the_weights_and_dropout_is_gone() -> None:
    head = build_head(BLOCKS, width=8, outputs=3, seed=1)
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    pixels = keras.Input((8,))
    calibrated = keras.Model(pixels, apply_calibrated(head, pixels, 2.5))
    assert not [layer for layer in calibrated.layers if isinstance(layer, keras.layers.Dropout)]
    expected = np.asarray(head.predict_on_batch(vectors)) / 2.5
    assert np.asarray(calibrated.predict_on_batch(vectors)) == pytest.approx(expected, abs=1e-5)


def test_a_sigmoid_ends_it_like_a_softmax() -> None:
    head = build_head((AveragePool(name="pool"), Sigmoid(name="answer")), width=8, outputs=1, seed=1)
    assert head.output_shape == (None, 1)
