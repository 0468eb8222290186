"""From a Keras model to int8 and up the ladder, with a network made to have what goes wrong in real ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.model_card import InputSpec
from edge.preprocess import prepare
from edge.runtime import Engine
from trainer.graph import Graph

MAKE = """
import json, sys
from pathlib import Path
import keras
import numpy as np
from keras import layers
from trainer.ladder import climb, sensitive
from trainer.quantize import operators, small_head, to_float_tflite, to_int8_tflite
folder = Path(sys.argv[1])
keras.utils.set_random_seed(3)
pixels = keras.Input((32, 32, 3), dtype="float32", name="image")
first = layers.Conv2D(12, 3, strides=2, activation="relu6")
hidden = first(layers.Rescaling(1 / 127.5, -1)(pixels))
hidden = layers.DepthwiseConv2D(3, activation="relu6", bias_initializer=keras.initializers.RandomUniform(0, 1))(hidden)
embedding = layers.GlobalAveragePooling2D(name="embedding")(layers.Conv2D(16, 1, activation="relu")(hidden))
scores = layers.Softmax(name="scores")(layers.Dense(3)(embedding))
model = keras.Model(pixels, {"scores": scores, "embedding": embedding})
kernel, bias = first.get_weights()
kernel[..., 0], bias[0] = 0, 2.5      # a dead channel that still says something
kernel[..., 1] *= 1e-7
bias[1] = 1.5                         # and one that is all but dead
first.set_weights([kernel, bias])
rng = np.random.default_rng(0)
pictures = [rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(4, 0).repeat(4, 1) for _ in range(60)]
floats = to_float_tflite(model)
(folder / "float.tflite").write_bytes(floats)
made = {}
for candidate in climb(
    floats, lambda count: pictures[:count], pictures=12,
    rungs=("int8", "more_pictures", "float_layers", "int16", "float16"),
):
    (folder / f"{candidate.rung}.tflite").write_bytes(candidate.content)
    made[candidate.rung] = candidate.note
again = to_int8_tflite(floats, pictures[:12])
np.save(folder / "pictures.npy", np.stack(pictures))
print(json.dumps({
    "notes": made, "operators": operators(floats), "small_head": small_head(floats),
    "sensitive": sensitive(floats, pictures[:12]),
    "repeatable": again == (folder / "int8.tflite").read_bytes(),
}))
"""


@pytest.fixture(scope="module")
def made(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ladder")
    done = subprocess.run(
        [sys.executable, "-c", MAKE, str(folder)], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads(done.stdout.splitlines()[-1])


def answers(folder: Path, rung: str) -> dict[str, np.ndarray]:
    engine = Engine((folder / f"{rung}.tflite").read_bytes(), name=rung)
    spec = InputSpec(height_px=32, width_px=32, color="bgr")
    pictures = np.load(folder / "pictures.npy")
    rows = [engine.infer(prepare(picture, spec).astype(engine.input.dtype)) for picture in pictures]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def test_every_rung_loads_and_answers_like_float(made: tuple[Path, dict[str, Any]]) -> None:
    folder, said = made
    wanted = answers(folder, "float")
    assert {"int8", "more_pictures", "float_layers", "float16"} <= set(said["notes"])
    for rung in said["notes"]:
        found = answers(folder, rung)
        # int16 is not corrected, and loses what dead channels say.
        assert np.abs(found["scores"] - wanted["scores"]).max() < (0.1 if rung == "int16" else 0.05), rung
        if rung == "int16":
            continue
        spread = wanted["embedding"].max() - wanted["embedding"].min()
        assert np.abs(found["embedding"] - wanted["embedding"]).max() < 0.05 * spread, rung


def test_the_input_of_int8_is_a_pixel_as_it_is(made: tuple[Path, dict[str, Any]]) -> None:
    for rung in ("int8", "more_pictures", "float_layers"):
        given = Engine((made[0] / f"{rung}.tflite").read_bytes(), name=rung).input
        assert (given.dtype, given.scale, given.zero_point) == (np.uint8, 1.0, 0)


def test_dead_channels_get_true_scales_and_keep_their_bias(made: tuple[Path, dict[str, Any]]) -> None:
    graph = Graph((made[0] / "int8.tflite").read_bytes())
    first = next(layer for layer in graph.layers() if layer.axis == 0)
    for number in range(len(graph.subgraph.tensors)):
        scales = graph.scales(number)
        assert np.isfinite(scales).all()
        assert (scales > 0).all()
    bias = graph.values(first.bias, np.int32) * graph.scales(first.bias)
    # Around what the float layer says: the correction may move it by a step of the output.
    assert bias[:2] == pytest.approx([2.5, 1.5], abs=0.1)
    assert np.abs(graph.values(first.bias, np.int32)).max() <= 2**30


def test_the_head_stays_in_float_and_the_most_sensitive_operators_are_found(
    made: tuple[Path, dict[str, Any]],
) -> None:
    _, said = made
    assert said["small_head"] == said["operators"][-len(said["small_head"]) :]
    assert 2 <= len(said["small_head"]) < len(said["operators"])
    assert {name for group in said["sensitive"] for name in group} <= set(said["operators"])
    assert "(48 for 12)" in said["notes"]["more_pictures"]


def test_the_same_pictures_give_the_same_bytes(made: tuple[Path, dict[str, Any]]) -> None:
    assert made[1]["repeatable"]
