"""What others do, written anew from a description, to compare with.

Frigate's recipe for its custom classification: a frozen MobileNetV2 0.35, pixels scaled to 0…1 although the weights
were trained on -1…1, a hidden layer of 128, 50 epochs over a fifth less than all pictures, and calibration on the first
files that a walk of the folder meets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.preprocess import read_picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import keras
    import numpy.typing as npt

    from trainer.data import DataSet

SIDE_PX = 224
EPOCHS, BATCH, HELD_BACK, CALIBRATION = 50, 16, 0.2, 300


@dataclass(frozen=True, slots=True)
class Rival:
    """What a rival made."""

    float_tflite: bytes
    int8_tflite: bytes


def frigate(data: DataSet, indices: list[int], weights: Path) -> Rival:
    """Train by that recipe on the given samples; pictures are decoded and changed anew in every epoch, as there."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    base = keras.applications.MobileNetV2(
        include_top=False, input_shape=(SIDE_PX, SIDE_PX, 3), alpha=0.35, weights=str(weights)
    )
    base.trainable = False
    classes = len(data.labels)
    model = keras.Sequential(
        [
            base,
            layers.GlobalAveragePooling2D(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(classes, activation="softmax"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy")
    kept = [indices[i] for i in sorted(rng.permutation(len(indices))[: round(len(indices) * (1 - HELD_BACK))])]
    steps = -(-len(kept) // BATCH)
    for epoch in range(EPOCHS):
        model.fit(
            _epoch(data, kept, rng),
            steps_per_epoch=steps,
            epochs=epoch + 1,
            initial_epoch=epoch,
            shuffle=False,
            verbose=0,
        )
    return Rival(*_converted(model, data, indices))


def _epoch(data: DataSet, kept: list[int], rng: np.random.Generator) -> Iterator[tuple[npt.NDArray[np.float32], ...]]:
    shuffled = [kept[i] for i in rng.permutation(len(kept))]
    for first in range(0, len(shuffled), BATCH):
        some = shuffled[first : first + BATCH]
        pictures = np.stack([picture(data.samples[index].path) for index in some])
        yield pictures, np.array([data.samples[index].label for index in some], dtype=np.float32)


def picture(path: Path) -> npt.NDArray[np.float32]:
    """A picture as that recipe reads it: ``(224, 224, 3) float32 RGB`` in 0…1, interpolated linearly."""
    resized = cv2.resize(read_picture(path), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized[:, :, ::-1], dtype=np.float32) / np.float32(255)


def _converted(model: keras.Model, data: DataSet, indices: list[int]) -> tuple[bytes, bytes]:
    import tensorflow as tf

    float_tflite = bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    first = indices[:CALIBRATION]  # in the order of the folder: the first class or two
    converter.representative_dataset = lambda: ([picture(data.samples[i].path)[None]] for i in first)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return float_tflite, bytes(converter.convert())


def answers(tflite: bytes, paths: list[Path]) -> npt.NDArray[np.int64]:
    """What such a file answers to pictures: ``(n,)`` class indices."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=tflite, num_threads=2)
    interpreter.allocate_tensors()
    [input_], [output] = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for path in paths:
        pixels = picture(path)[None]
        if input_["dtype"] == np.uint8:
            scale, zero = input_["quantization"]
            pixels = np.clip(np.rint(pixels / scale + zero), 0, 255)
        interpreter.set_tensor(input_["index"], pixels.astype(input_["dtype"]))
        interpreter.invoke()
        found.append(int(interpreter.get_tensor(output["index"]).argmax()))
    return np.array(found, dtype=np.int64)
