"""``fit``: from a folder of pictures to a proven model file, step by step."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edge.model_card import InputSpec, ModelCard
from trainer.calibrate import best_temperature
from trainer.cluster_fit import cluster_job, take_part, train_in_cluster
from trainer.data import DataSet, Split, balanced, list_classes, scan, split, summary_of_rejected
from trainer.distributed import Place, scope
from trainer.errors import DataError
from trainer.features import extract, stack, views
from trainer.proof import FitResult, HeldOut, prove_and_write
from trainer.quantize import to_float_tflite, to_int8_tflite

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

    from trainer.progress import Step, Steps
    from trainer.recipe import Recipe

_PACKAGES = ("tensorflow-cpu", "tensorflow", "keras", "ai-edge-quantizer", "ai-edge-litert", "numpy", "sightpost")


def fit(root: Path, out: Path, recipe: Recipe, *, name: str, steps: Steps, place: Place = Place()) -> FitResult:  # noqa: B008  frozen
    """Train, calibrate, quantize, prove and write a model.

    Args:
        root: a folder with one sub-folder of pictures per class.
        out: where the model file goes; what is there stays until the new one is proven.
        recipe: how.
        name: the model's name, in its card and in every message that a device publishes.
        steps: shows progress.
        place: where to train; of a cluster, this is process 0.

    Raises:
        DataError: the pictures cannot be trained on.
        ConfigError: the recipe names an unknown backbone.
        ClusterError: training on several processes came to an end before it was done.
        WeightsError: the pretrained weights are missing or do not fit.
        ProofError: the int8 file falls too far below the float model; nothing is written.
        ModelFileError: the file cannot be written.
    """
    if not out.absolute().parent.is_dir():
        raise DataError(f"{out}: its folder does not exist; make it first")
    rng = np.random.default_rng(recipe.seed)
    data, parts = _look(root, recipe, rng, steps)
    spec = _spec(recipe)
    with scope(place):
        model, temperature = _train(data, parts, spec, recipe, rng, steps, place)
    with steps.step("quantize") as step:
        float_tflite = to_float_tflite(model)
        chosen = balanced(parts.train, data, recipe.quantize.calibration_pictures, rng)
        int8_tflite = to_int8_tflite(float_tflite, [picture for picture, _ in views(data, chosen, spec, None, rng)])
        step.outcome = f"{len(float_tflite) / 1e6:.1f} MB float → {len(int8_tflite) / 1e6:.1f} MB int8"
    card = ModelCard(
        name=name,
        version=hashlib.sha256(int8_tflite).hexdigest()[:12],
        kind="classify",
        input=spec,
        labels=data.labels,
        temperature=round(temperature, 4),
        provenance=_provenance(data, parts, recipe),
    )
    return prove_and_write(
        out,
        card,
        HeldOut(data, parts.held_out),
        float_tflite=float_tflite,
        int8_tflite=int8_tflite,
        recipe=recipe.quantize,
        steps=steps,
    )


def fit_elsewhere(root: Path, recipe: Recipe, *, steps: Steps, place: Place) -> None:
    """Take part in a ``fit`` whose process 0 writes the model: the same pictures and recipe, another rank.

    Raises:
        DataError: the pictures cannot be trained on.
        ClusterError: training on several processes came to an end before it was done.
    """
    data, parts = _look(root, recipe, np.random.default_rng(recipe.seed), steps)
    take_part(place, recipe, _spec(recipe), data, parts, steps=steps)


def _spec(recipe: Recipe) -> InputSpec:
    side = recipe.backbone.size_px
    resize, kernel = recipe.input.resize, recipe.input.kernel
    return InputSpec(height_px=side, width_px=side, color="rgb", resize=resize, kernel=kernel, scaling="raw")


def _look(root: Path, recipe: Recipe, rng: np.random.Generator, steps: Steps) -> tuple[DataSet, Split]:
    with steps.step("look at the pictures", len(list_classes(root)[1])) as step:
        data = scan(root, on_file=step.advance)
        parts = split(data, holdout=recipe.holdout, rng=rng)
        counts = ", ".join(f"{label} {count}" for label, count in data.counts().items())
        step.outcome = f"{counts}; {len(parts.held_out)} held out"
    for line in summary_of_rejected(data):
        steps.note(line)
    return data, parts


def _train(
    data: DataSet,
    parts: Split,
    spec: InputSpec,
    recipe: Recipe,
    rng: np.random.Generator,
    steps: Steps,
    place: Place,
) -> tuple[keras.Model, float]:
    """Train what the recipe says: the finished float model, and the temperature folded into it."""
    import keras

    from trainer.network import assemble, build_network, train_from_scratch, train_head

    keras.utils.set_random_seed(recipe.seed)
    with steps.step("build the backbone") as step:
        network = build_network(recipe, len(data.labels))
        weights = Path(recipe.backbone.weights).name
        step.outcome = f"{recipe.backbone.name}, {recipe.backbone.size_px} px, weights: {weights}"
    count = len(parts.train) * (1 + recipe.augment.views)
    losses: list[float] = []
    if place.kind == "cluster":
        with tempfile.TemporaryDirectory(prefix="sightpost-") as folder:
            train_in_cluster(
                network,
                cluster_job(place, recipe, spec, data, parts, Path(folder)),
                steps=steps,
                train_head=lambda cached: train_head(network.head, cached, recipe.head, on_epoch=losses.append),
            )
    elif recipe.backbone.weights == "none":
        with steps.step("prepare views", count) as step:
            prepared = stack(views(data, parts.train, spec, recipe.augment, rng), on_picture=step.advance)
        with steps.step("train from scratch", recipe.head.epochs) as step:
            train_from_scratch(network, prepared, recipe.head, on_epoch=_recorder(losses, step))
    else:
        with steps.step("features", count) as step:
            training_views = views(data, parts.train, spec, recipe.augment, rng)
            cached = extract(network.extractor, training_views, on_picture=step.advance)
        with steps.step("train the head", recipe.head.epochs) as step:
            train_head(network.head, cached, recipe.head, on_epoch=_recorder(losses, step))
    with steps.step("calibrate", len(parts.held_out)) as step:
        held_out = extract(network.extractor, views(data, parts.held_out, spec, None, rng), on_picture=step.advance)
        logits = np.asarray(network.head.predict_on_batch(held_out.inputs), dtype=np.float32)
        temperature = best_temperature(logits, held_out.labels)
        step.outcome = f"temperature {temperature:.2f}"
    return assemble(network, temperature), temperature


def _recorder(losses: list[float], step: Step) -> Callable[[float], None]:
    def record(loss: float) -> None:
        losses.append(loss)
        step.outcome = f"loss {losses[0]:.3f} → {losses[-1]:.3f}"
        step.advance()

    return record


def _provenance(data: DataSet, parts: Split, recipe: Recipe) -> dict[str, Any]:
    installed = {distribution.name.lower(): distribution.version for distribution in importlib.metadata.distributions()}
    return {
        "recipe": msgspec.to_builtins(recipe),
        "data": {
            "fingerprint": data.fingerprint,
            "pictures": data.counts(),
            "trained_on": len(parts.train),
            "held_out": len(parts.held_out),
            "left_out": len(data.rejected),
        },
        "versions": {name: installed[name] for name in _PACKAGES if name in installed},
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
