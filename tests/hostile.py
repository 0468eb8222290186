"""A network that eight bits destroy: it tells red, green and blue apart beside channels a thousand times as large.

Run as a program it saves the network, climbs the ladder on it and says what came of it.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

COLORS_BGR = {"blue": (200, 60, 60), "green": (60, 200, 60), "red": (60, 60, 200)}
SIDE_PX = 32
LOUD = 3000.0
PER_COLOR = 12


def write_pictures(folder: Path) -> None:
    """A folder of class folders; no two pictures are alike."""
    rng = np.random.default_rng(0)
    for color, bgr in COLORS_BGR.items():
        (folder / color).mkdir(parents=True)
        for number in range(PER_COLOR):
            picture = np.clip(np.array(bgr) + rng.normal(0, 30, (40, 40, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / color / f"{number}.png"), picture)


def network() -> Any:
    """RGB pixels as they are to scores of blue, green, red; the loud channels have no say."""
    import keras
    from keras import layers

    pixels = keras.Input((SIDE_PX, SIDE_PX, 3), name="image")
    loud = layers.Conv2D(12, 1, activation="relu", name="loud")
    quiet = layers.Conv2D(3, 1, activation="relu", name="quiet")
    hidden = quiet(loud(pixels))
    for number in range(6):
        same = layers.DepthwiseConv2D(1, activation="relu", depthwise_initializer="ones", name=f"same{number}")
        hidden = same(hidden)
    pooled = layers.GlobalAveragePooling2D(name="embedding")(hidden)
    scores = layers.Dense(3, activation="softmax", name="scores")
    model = keras.Model(pixels, scores(pooled))
    swap = np.eye(3, dtype=np.float32)[::-1]  # red, green, blue in; blue, green, red out
    gains = np.array([1, 1, 1] + [LOUD] * 9, np.float32) / 255
    loud.set_weights([(np.tile(np.eye(3, dtype=np.float32), 4) * gains)[None, None], np.zeros(12, np.float32)])
    chosen = np.concatenate([swap, np.zeros((9, 3), np.float32)])
    quiet.set_weights([chosen[None, None], np.zeros(3, np.float32)])
    scores.set_weights([20 * np.eye(3, dtype=np.float32), np.zeros(3, np.float32)])
    return model


def without_numbers(float_tflite: bytes) -> bytes:
    """The same with a convolution whose weights are no numbers: no int8 scale fits them, float16 takes them."""
    from trainer.graph import Graph

    graph = Graph(float_tflite)
    layer = next(layer for layer in graph.layers() if layer.is_convolution)
    weights = graph.values(layer.weights, np.float32)
    graph.put(layer, layer.weights, np.full_like(weights, np.nan))
    return graph.content()


def main(folder: Path) -> None:
    """Save ``hostile.keras`` and ``pictures/``; climb, and write ``climbed.tflite``; print what the card says."""
    from rich.console import Console

    from edge.model_card import InputSpec, ModelCard
    from edge.preprocess import prepare
    from trainer.data import pictures, scan
    from trainer.errors import ProofError
    from trainer.ladder import Rung, climb
    from trainer.progress import Steps
    from trainer.proof import FitResult, HeldOut, prove_and_write
    from trainer.quantize import to_float_tflite
    from trainer.recipe import QuantizeRecipe

    model = network()
    model.save(folder / "hostile.keras")
    write_pictures(folder / "pictures")
    import keras

    named = keras.Model(model.input, {"scores": model.output, "embedding": model.get_layer("embedding").output})
    float_tflite = to_float_tflite(named)
    data = scan(folder / "pictures")
    spec = InputSpec(height_px=SIDE_PX, width_px=SIDE_PX, scaling="raw")
    held_out = HeldOut(data, tuple(range(len(data.samples))))
    prepared = [prepare(picture, spec) for picture in pictures(data, held_out.indices)]
    said = io.StringIO()

    def proven(name: str, rungs: tuple[Rung, ...], *, accept_drift: bool = False) -> FitResult:
        return prove_and_write(
            folder / name,
            ModelCard(name="hostile", version="", kind="classify", input=spec, labels=data.labels),
            held_out,
            float_tflite=float_tflite,
            candidates=climb(float_tflite, lambda count: prepared[:count], pictures=12, rungs=rungs),
            recipe=QuantizeRecipe(),
            steps=Steps(Console(file=said, width=200)),
            accept_drift=accept_drift,
        )

    refused = ""
    try:
        proven("refused.tflite", ("int8", "more_pictures"))
    except ProofError as error:
        refused = str(error)
    drifted = proven("drifted.tflite", ("int8",), accept_drift=True)
    climbed = proven("climbed.tflite", ("int8", "more_pictures", "float_layers", "float16"))
    skipped: list[str] = []
    rungs: tuple[Rung, ...] = ("int8", "float16")
    broken = without_numbers(float_tflite)
    made = climb(broken, lambda count: prepared[:count], pictures=12, rungs=rungs, on_skip=skipped.append)
    print(json.dumps({
        "made": [candidate.rung for candidate in made], "skipped": skipped,
        "refused": refused, "console": said.getvalue(),
        "drifted": drifted.card.metrics, "climbed": climbed.card.metrics,
    }))  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
