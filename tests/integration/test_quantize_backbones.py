"""Every family of backbones through conversion and quantization, and its file on both TFLite runtimes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

BACKBONES = {"vgg16": 64, "resnet50": 64, "inceptionv3": 96, "mobilenetv3small": 64, "efficientnetv2b0": 64}
LIKENESS = (0.8, 0.999, 0.9)
"""Least cosines of int8 to float, float16 to float, int8 on one runtime to int8 on the other."""
LESS_LIKENESS = {"inceptionv3": (0.5, 0.98, 0.6)}
"""94 layers of random weights, each normalized anew, make much of the least rounding: float16 comes to 0.99, int8 to
0.61 and that of TensorFlow's own quantizer to 0.55, plain kernels to 0.73 of fast ones; other pictures to 0.31."""

MAKE = """
import sys
from pathlib import Path
import keras
import numpy as np
from trainer.backbones import build_backbone, kind_of
from trainer.quantize import to_float_tflite, to_int8_tflite, to_float16_tflite
from trainer.recipe import BackboneRecipe
from trainer.scaling import scale_pixels
name, side, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
keras.utils.set_random_seed(1)
recipe = BackboneRecipe(name=name, alpha=None, size_px=side, weights="none")
pixels = keras.Input((side, side, 3), dtype="float32", name="image")
features = build_backbone(recipe)(scale_pixels(pixels, kind_of(recipe).mode), training=None)
pooled = keras.layers.GlobalAveragePooling2D(name="embedding")(features)
scores = keras.layers.Softmax(name="scores")(keras.layers.Dense(4)(pooled))
model = keras.Model(pixels, {"scores": scores, "embedding": pooled})
# Without batches seen, batch-norm statistics are those of no network: let them settle.
pictures = np.random.default_rng(0).integers(0, 256, (24, side // 8, side // 8, 3)).repeat(8, 1).repeat(8, 2)
for layer in model._flatten_layers():
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.momentum = 0.0
        layer.trainable = True
model(pictures.astype("float32"), training=True)
floats = to_float_tflite(model)
(folder / "float.tflite").write_bytes(floats)
(folder / "int8.tflite").write_bytes(to_int8_tflite(floats, list(pictures.astype("uint8"))))
(folder / "float16.tflite").write_bytes(to_float16_tflite(floats))
np.save(folder / "pictures.npy", pictures.astype("uint8"))
"""
RUN = """
import importlib, json, sys
import numpy as np
pictures, found = np.load(sys.argv[2]), []
for path in sys.argv[3:]:
    interpreter = importlib.import_module(sys.argv[1]).Interpreter(model_path=path)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    runner = interpreter.get_signature_runner()
    rows = [runner(image=picture[None].astype(given["dtype"]))["embedding"].ravel().tolist() for picture in pictures]
    found.append({"dtype": np.dtype(given["dtype"]).name, "embeddings": rows})
print(json.dumps(found))
"""


def cosines(first: list[list[float]], second: list[list[float]]) -> np.ndarray:
    a, b = np.array(first), np.array(second)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_is_quantized_and_runs_on_both_runtimes(name: str, repository: Path, tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-c", MAKE, name, str(BACKBONES[name]), str(tmp_path)],
        cwd=repository, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-3000:]
    files = [str(tmp_path / f"{kind}.tflite") for kind in ("float", "int8", "float16")]
    int8_least, half_least, runtimes_least = LESS_LIKENESS.get(name, LIKENESS)
    pythons = {"ai_edge_litert.interpreter": sys.executable}
    other = repository / ".venv-tflite" / "bin" / "python"
    if other.exists():
        pythons["tflite_runtime.interpreter"] = str(other)
    found = {}
    for module, python in pythons.items():
        done = subprocess.run(
            [python, "-c", RUN, module, str(tmp_path / "pictures.npy"), *files],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        floats, int8, half = found[module] = json.loads(done.stdout)
        assert (floats["dtype"], int8["dtype"], half["dtype"]) == ("float32", "uint8", "float32")
        # Random weights make noise of noise pictures: this shows that it runs and is no other model, not how good.
        assert cosines(floats["embeddings"], int8["embeddings"]).mean() > int8_least, module
        assert cosines(floats["embeddings"], half["embeddings"]).min() > half_least, module
    if len(found) > 1:
        first, second = (each[1]["embeddings"] for each in found.values())
        assert cosines(first, second).mean() > runtimes_least
