"""Saved models as people have them, really made by the Keras that makes such files.

Run as a script, in a process of its own: Keras 3 and tf-keras (Keras 2 as it goes on) need not share one with a test.
``python legacy_models.py keras2|keras3 FOLDER`` fills the folder; ``saved_models()`` runs both, once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

SIZE_PX = 32
LABELS = ("red", "green", "blue")


def colour_picture(label: int, rng: np.random.Generator, size_px: int = SIZE_PX) -> np.ndarray[Any, Any]:
    """``(size, size, 3) uint8 RGB`` of one colour, with noise and light that differ."""
    tint = np.full(3, 60.0)
    tint[label] = rng.uniform(140, 230)
    return np.clip(rng.normal(tint, 25, (size_px, size_px, 3)), 0, 255).astype(np.uint8)


def write_pictures(folder: Path, per_label: int = 8) -> Path:
    """Class folders named like ``LABELS`` with pictures of another size than any model's."""
    import cv2

    rng = np.random.default_rng(7)
    for index, label in enumerate(LABELS):
        (folder / label).mkdir(parents=True)
        for number in range(per_label):
            picture = colour_picture(index, rng, 48)
            cv2.imwrite(str(folder / label / f"{number}.png"), picture[..., ::-1])
    return folder


def saved_models(folder: Path) -> Path:
    """Build every fixture in a folder."""
    for library in ("keras2", "keras3"):
        done = subprocess.run(
            [sys.executable, __file__, library, str(folder)],
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        )
        assert done.returncode == 0, done.stderr[-3000:]
    return folder


def evil_lambda(sentinel: Path) -> FunctionType:
    """A function that leaves a trace when it runs; its byte code goes into the file."""
    return eval(f"lambda x: (open({str(sentinel)!r}, 'w').close(), x)[1]")  # noqa: S307  the path must be a constant in it


crash_if_told = eval("lambda x: __import__('os').abort() if 'CRASH' in __import__('os').environ else x")  # noqa: S307
"""As above; a model that takes its process down."""


def train(k: ModuleType) -> keras.Model:
    """A small CNN that tells the colours apart, on pixels 0…1."""
    rng = np.random.default_rng(3)
    truth = np.arange(240) % 3
    pictures = np.stack([colour_picture(label, rng) for label in truth]).astype(np.float32) / 255
    model = k.Sequential(
        [
            k.layers.Input((SIZE_PX, SIZE_PX, 3)),
            k.layers.Conv2D(8, 3, strides=2, activation="relu"),
            k.layers.BatchNormalization(momentum=0.8),
            k.layers.Conv2D(16, 3, strides=2, activation="relu"),
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dropout(0.2),
            k.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(k.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(pictures, truth, epochs=8, batch_size=32, verbose=0)
    return model


def with_statistics(k: ModuleType, model: keras.Model) -> keras.Model:
    """Untrained batch norms let everything through; these do something."""
    rng = np.random.default_rng(4)
    for layer in model.layers:
        if isinstance(layer, k.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights(
                [gamma * 1.5, rng.normal(0, 0.3, beta.shape), rng.normal(0, 0.05, mean.shape), variance * 0.3]
            )
    head = model.layers[-1]
    kernel, bias = head.get_weights()
    head.set_weights([kernel * 3, bias])
    return model


def keras2(folder: Path) -> None:
    import tf_keras as k

    k.utils.set_random_seed(1)
    cnn = train(k)
    cnn.save(folder / "cnn.h5")
    cnn.save(folder / "cnn2.keras")
    cnn.save(folder / "cnn_saved", save_format="tf")
    cnn.save_weights(folder / "weights.h5")
    cnn.save_weights(folder / "new.weights.h5")
    as_r_writes_it(folder / "cnn.h5", folder / "model_from_r.hdf5")
    mobilenet = k.applications.MobileNetV2(input_shape=(96, 96, 3), alpha=0.35, weights=None, classes=3)
    with_statistics(k, mobilenet).save(folder / "mobilenet.h5")
    mobilenet.save(folder / "mobilenet2.keras")
    as_keras_2_15_names_its_modules(folder / "mobilenet2.keras")
    k.Model(cnn.inputs, cnn.layers[-3].output).save(folder / "features.h5")
    pixels = k.Input((None, None, 3))
    pooled = k.layers.GlobalAveragePooling2D()(k.layers.Conv2D(4, 3)(pixels))
    k.Model(pixels, k.layers.Dense(3)(pooled)).save(folder / "any_size_logits.h5")
    k.Model(pixels, k.layers.Dense(1, activation="sigmoid")(pooled)).save(folder / "any_size_binary.h5")
    k.Model(pixels, [k.layers.Dense(3, name="a")(pooled), k.layers.Dense(2, name="b")(pooled)]).save(
        folder / "two_outputs.h5"
    )
    other = k.Input((4,), name="age")
    k.Model([pixels, other], k.layers.Concatenate()([pooled, other])).save(folder / "two_inputs.h5")
    k.Model(other, k.layers.Dense(2)(other)).save(folder / "vector.h5")
    first = k.Input((3, SIZE_PX, SIZE_PX))
    convolved = k.layers.Conv2D(4, 3, data_format="channels_first")(first)
    k.Model(first, k.layers.Flatten()(convolved)).save(folder / "channels_first.h5")
    evil = [k.layers.Input((SIZE_PX, SIZE_PX, 3)), k.layers.Lambda(evil_lambda(folder / "ran")), *cnn.layers]
    k.Sequential(evil).save(folder / "lambda.h5")
    k.Sequential(evil).save(folder / "lambda2.keras")
    crashing = [k.layers.Input((SIZE_PX, SIZE_PX, 3)), k.layers.Lambda(crash_if_told), *cnn.layers]
    k.Sequential(crashing).save(folder / "crash.h5")
    for layer in cnn.layers:
        layer.set_weights([np.zeros_like(values) for values in layer.get_weights()])
    cnn.save(folder / "zero.h5")
    (folder / "ran").unlink(missing_ok=True)


def keras3(folder: Path) -> None:
    import keras as k

    k.utils.set_random_seed(1)
    cnn = train(k)
    cnn.save(folder / "cnn3.keras")
    cnn.save(folder / "cnn3.h5")
    cnn.export(folder / "cnn3_saved", verbose=False)
    pixels = k.Input((SIZE_PX, SIZE_PX, 3))
    scaled = k.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    pooled = k.ops.mean(k.layers.Conv2D(4, 3)(scaled) * 2.0, axis=(1, 2))  # operators between layers
    k.Model(pixels, k.layers.Dense(3, activation="sigmoid")(pooled)).save(folder / "operators3.keras")
    evil = [k.layers.Input((SIZE_PX, SIZE_PX, 3)), k.layers.Lambda(evil_lambda(folder / "ran")), k.layers.Flatten()]
    k.Sequential(evil).save(folder / "lambda3.keras")
    (folder / "ran").unlink(missing_ok=True)


def as_r_writes_it(source: Path, target: Path) -> None:
    """R's keras hands its model to Python's; what differs is the name's end, older versions and bytes for text."""
    import h5py

    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as file:
        file.attrs["model_config"] = np.bytes_(
            file.attrs["model_config"].replace('"sequential"', '"sequential_1"').encode()
        )
        file.attrs["keras_version"] = np.bytes_(b"2.11.0")
        file.attrs["backend"] = np.bytes_(b"tensorflow")


def as_keras_2_15_names_its_modules(path: Path) -> None:
    """tf-keras calls itself tf_keras in the file; the Keras that it continues was called keras."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries["config.json"] = entries["config.json"].replace(b"tf_keras.src", b"keras.src")
    entries["metadata.json"] = json.dumps({"keras_version": "2.15.0", "date_saved": "2024-01-15@10:00:00"}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


if __name__ == "__main__":
    {"keras2": keras2, "keras3": keras3}[sys.argv[1]](Path(sys.argv[2]))
