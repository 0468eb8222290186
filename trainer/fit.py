"""``fit``: from a folder of pictures to a proven model file, step by step."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import shutil
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edge.model_card import InputSpec, ModelCard
from edge.preprocess import prepare
from trainer.calibrate import best_temperature
from trainer.data import DataSet, balanced, pictures, scan, summary_of_rejected
from trainer.errors import DataError
from trainer.proof import FitResult, HeldOut, prove_and_write
from trainer.quantize import to_float_tflite, to_int8_tflite
from trainer.sources import list_pictures
from trainer.split import Split, split
from trainer.training import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trainer.checkpoint import EpochRecord
    from trainer.progress import Steps
    from trainer.recipe import Recipe

_PACKAGES = ("tensorflow-cpu", "tensorflow", "keras", "ai-edge-quantizer", "ai-edge-litert", "numpy", "sightpost")


def fit(
    root: Path,
    out: Path,
    recipe: Recipe,
    *,
    name: str,
    steps: Steps,
    on_epoch: Callable[[EpochRecord], None] = lambda _record: None,
) -> FitResult:
    """Train, calibrate, quantize, prove and write a model.

    An interrupted ``fit`` leaves its cached features and its last epoch in a folder beside ``out``; the same command
    goes on from there, and removes it when the file is written.

    Args:
        root: a folder with one sub-folder of pictures per class.
        out: where the model file goes; what is there stays until the new one is proven.
        recipe: how.
        name: the model's name, in its card and in every message that a device publishes.
        steps: shows progress.
        on_epoch: called with each record of the training's history.

    Raises:
        DataError: the pictures cannot be trained on.
        ConfigError: the recipe names an unknown backbone.
        WeightsError: the pretrained weights are missing or do not fit.
        ProofError: the int8 file falls too far below the float model; nothing is written.
        ModelFileError: the file cannot be written.
    """
    if not out.absolute().parent.is_dir():
        raise DataError(f"{out}: its folder does not exist; make it first")
    recipe = msgspec.structs.replace(recipe, tune={})
    workdir = out.with_name(out.name + ".work")
    rng = np.random.default_rng(recipe.seed)
    data, parts = _look(root, recipe, rng, steps)
    side = recipe.backbone.size_px
    resize, kernel = recipe.input.resize, recipe.input.kernel
    spec = InputSpec(height_px=side, width_px=side, color="rgb", resize=resize, kernel=kernel, scaling="raw")
    trained = train(data, parts, spec, recipe, steps=steps, workdir=workdir, on_epoch=on_epoch)
    with steps.step("calibrate") as step:
        temperature = best_temperature(trained.validation.logits, trained.validation.targets.argmax(axis=1))
        step.outcome = f"temperature {temperature:.2f}"
    with steps.step("quantize") as step:
        float_tflite = to_float_tflite(trained.model(temperature))
        chosen = balanced(parts.train, data, recipe.quantize.calibration_pictures, rng)
        int8_tflite = to_int8_tflite(float_tflite, [prepare(picture, spec) for picture in pictures(data, chosen)])
        step.outcome = f"{len(float_tflite) / 1e6:.1f} MB float → {len(int8_tflite) / 1e6:.1f} MB int8"
    card = ModelCard(
        name=name,
        version=hashlib.sha256(int8_tflite).hexdigest()[:12],
        kind=recipe.kind,
        input=spec,
        labels=data.labels,
        temperature=round(temperature, 4),
        provenance=_provenance(data, parts, recipe),
    )
    result = prove_and_write(
        out,
        card,
        HeldOut(data, parts.test),
        float_tflite=float_tflite,
        int8_tflite=int8_tflite,
        recipe=recipe.quantize,
        steps=steps,
    )
    shutil.rmtree(workdir, ignore_errors=True)
    return result


def _look(root: Path, recipe: Recipe, rng: np.random.Generator, steps: Steps) -> tuple[DataSet, Split]:
    with steps.step("look at the pictures", len(list_pictures(root).entries)) as step:
        data = scan(root, on_file=step.advance)
        parts = split(data, recipe.split, rng)
        counts = ", ".join(f"{label} {count}" for label, count in data.counts().items())
        step.outcome = f"{counts}; {len(parts.validation)} to validate, {len(parts.test)} to test"
    for line in summary_of_rejected(data):
        steps.note(line)
    return data, parts


def _provenance(data: DataSet, parts: Split, recipe: Recipe) -> dict[str, Any]:
    installed = {distribution.name.lower(): distribution.version for distribution in importlib.metadata.distributions()}
    return {
        "recipe": msgspec.to_builtins(recipe),
        "data": {
            "fingerprint": data.fingerprint,
            "pictures": data.counts(),
            "trained_on": len(parts.train),
            "validated_on": len(parts.validation),
            "held_out": len(parts.test),
            "left_out": len(data.rejected),
        },
        "versions": {name: installed[name] for name in _PACKAGES if name in installed},
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
