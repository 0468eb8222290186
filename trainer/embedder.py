"""A backbone as a feature extractor: an ``embed`` model file, proven by the cosine between float and int8 vectors."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
from msgspec.structs import replace

from edge.errors import PictureError
from edge.model import Model
from edge.model_card import Golden, ModelCard
from edge.model_file import ModelFile, write_model_file
from edge.preprocess import PICTURE_SUFFIXES, prepare, read_picture
from trainer import golden
from trainer.backbones import build_backbone, kind_of, resolve_weights
from trainer.durable import check_out
from trainer.errors import DataError, ProofError
from trainer.head_recipe import Flatten
from trainer.heads import pool
from trainer.ladder import climb
from trainer.pack import add_metadata
from trainer.proof import made
from trainer.quantize import to_float_tflite
from trainer.reference import LEAST_PICTURES as REFERENCE_PICTURES
from trainer.reference import reference_of_vectors
from trainer.scaling import scale_pixels
from trainer.sources import files_below

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import keras
    import numpy.typing as npt

    from edge.frame import Image
    from trainer.progress import Steps
    from trainer.recipe import Recipe

_T = TypeVar("_T")

LEAST_COSINE = 0.98
"""Of the mean over pictures that did not calibrate: int8 vectors of ImageNet backbones reach 0.99 and more."""
LEAST_PICTURES = 8
_PROVEN_BY = 5  # every fifth picture proves, the others calibrate
_MOST_PICTURES = 500
_MOST_MEASURED = 200
GOLDEN_SHARE = 0.15
"""Of the largest value in the golden vectors: how far another runtime may be off; 0.06 was measured."""


@dataclass(frozen=True, slots=True)
class Embedder:
    """What ``export_features`` made."""

    path: Path
    card: ModelCard

    def summary(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"file": str(self.path), "bytes": self.path.stat().st_size, "name": self.card.name,
                "version": self.card.version, **self.card.metrics}  # fmt: skip


def list_pictures(folder: Path) -> list[Path]:
    """Pictures of a folder and those below it, spread evenly over it where there are many.

    Raises:
        DataError: it is no folder, or holds too few.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: is not a folder; give one with pictures like those that the camera will see")
    found = sorted(path for path in files_below(folder) if path.suffix.lower() in PICTURE_SUFFIXES)
    if len(found) < LEAST_PICTURES:
        raise DataError(
            f"{folder}: holds {len(found)} pictures; at least {LEAST_PICTURES} are needed to calibrate int8"
        )
    return _spread(found, _MOST_PICTURES)


def build_embedder(recipe: Recipe) -> keras.Model:
    """Raw pixels ``(n, size, size, 3) float32 RGB`` to ``embedding``: ``(n, features)``, or the map ``(n, h, w, c)``.

    Raises:
        ConfigError: unknown backbone.
        WeightsError: the weights are missing or do not fit.
    """
    import keras

    keras.utils.set_random_seed(recipe.seed)
    side_px = recipe.backbone.size_px
    pixels = keras.Input((side_px, side_px, 3), dtype="float32", name="image")
    features = build_backbone(recipe.backbone)(scale_pixels(pixels, kind_of(recipe.backbone).mode), training=None)
    keeps_places = isinstance(recipe.pooling, Flatten)  # a vector of the whole map would not say where
    vector = features if keeps_places else pool(recipe.pooling, features)
    return keras.Model(pixels, {"embedding": vector}, name="embedder")


def export_features(out: Path, folder: Path, recipe: Recipe, *, name: str, steps: Steps) -> Embedder:
    """Make an ``embed`` model file.

    Args:
        out: where it goes.
        folder: pictures like those that the camera will see; every fifth proves, the others calibrate.
        recipe: of kind ``embed``: the backbone, what becomes of its last map, how it is quantized.
        name: the model's name.
        steps: shows progress.

    Raises:
        DataError: too few pictures.
        ConfigError: unknown backbone.
        WeightsError: the weights are missing or do not fit.
        ProofError: no rung of the ladder comes near enough to float; nothing is written.
        ModelFileError: the file cannot be written.
    """
    check_out(out)
    kind_of(recipe.backbone), resolve_weights(recipe.backbone)  # what is misspelt is known before pictures are read
    spec, quantize = recipe.input_spec, recipe.quantize
    with steps.step("look at the pictures") as step:
        frames = _readable(list_pictures(folder), steps)
        proving, calibrating = frames[::_PROVEN_BY], [f for i, f in enumerate(frames) if i % _PROVEN_BY]
        step.outcome = f"{len(calibrating)} calibrate, {len(proving)} prove"
    with steps.step("convert") as step:
        model = build_embedder(recipe)
        shape = tuple(int(size) for size in model.output["embedding"].shape[1:])
        float_tflite = to_float_tflite(model)
        step.outcome = (
            f"{recipe.backbone.name}: {'×'.join(map(str, shape))} features, {len(float_tflite) / 1e6:.1f} MB float"
        )
    card = ModelCard(name=name, version="", kind="embed", input=spec, labels=(), provenance={
        "recipe": msgspec.to_builtins(recipe), "pictures": len(frames)})  # fmt: skip
    with steps.step("features in Keras", len(proving)):
        prepared = np.stack([prepare(frame, spec) for frame in proving]).astype(np.float32)
        wanted = np.concatenate([np.asarray(model.predict_on_batch(row[None])["embedding"]) for row in prepared])
    candidates = climb(
        float_tflite,
        lambda count: [prepare(frame, spec) for frame in calibrating[:count]],
        pictures=quantize.calibration_pictures,
        rungs=quantize.ladder,
        on_skip=steps.note,
    )
    tried = []
    for candidate in made(candidates, steps):
        with steps.step(f"prove {candidate.rung}", len(proving)) as step:
            judged = _model(add_metadata(candidate.content, card), card, out)
            metrics = _compare(judged, proving, wanted)
            step.outcome = f"cosine to Keras {metrics['cosine_mean']:.4f}, at least {metrics['cosine_min']:.4f}"
        tried.append({"rung": candidate.rung, "note": candidate.note, "bytes": len(candidate.content), **metrics})
        if metrics["cosine_mean"] >= LEAST_COSINE:
            break
        steps.note(f"{candidate.note}: at least {LEAST_COSINE} is needed")
    else:
        raise ProofError(f"{out}: not written: the mean cosine to float is below {LEAST_COSINE} on every rung tried")
    with steps.step("how like each other its vectors are", min(len(frames), _MOST_MEASURED)) as step:
        known = reference_of_vectors(
            np.stack([judged.golden_answer(frame) for frame in _spread(frames, _MOST_MEASURED)])
        )
        step.outcome = "kept, to notice drift" if known else f"{REFERENCE_PICTURES} pictures are needed to notice drift"
    samples = golden.capture(judged, proving[: golden.COUNT])
    tolerance = round(GOLDEN_SHARE * float(np.abs(samples.scores).max()), 4)
    card = replace(
        card,
        version=hashlib.sha256(candidate.content).hexdigest()[:12],
        reference=known,
        golden=Golden(count=len(samples.frames), tolerance=tolerance),
        metrics={
            **metrics,
            "shape": list(shape),
            "quantization": {"rung": candidate.rung, "note": candidate.note, "tried": tried},
        },
    )
    with steps.step("write the file") as step:
        write_model_file(out, add_metadata(candidate.content, card), card, samples)
        Model.load(out)  # as a device would, golden samples included
        step.outcome = f"{out}, {out.stat().st_size / 1e6:.1f} MB"
    return Embedder(out, card)


def _readable(paths: Sequence[Path], steps: Steps) -> list[Image]:
    frames = []
    for path in paths:
        try:
            frames.append(read_picture(path))
        except PictureError as error:
            steps.note(f"{error} (left out)")
    if len(frames) < LEAST_PICTURES:
        raise DataError(f"only {len(frames)} of the pictures can be read; at least {LEAST_PICTURES} are needed")
    return frames


def _spread(everything: Sequence[_T], most: int) -> list[_T]:
    """At most so many, evenly over all."""
    return [everything[i] for i in np.linspace(0, len(everything) - 1, min(len(everything), most)).astype(int)]


def _model(content: bytes, card: ModelCard, out: Path) -> Model:
    return Model(ModelFile(path=out, content=content, card=card, labels=card.labels, golden=None, sha256=""))


def _compare(model: Model, frames: Sequence[Image], wanted: npt.NDArray[np.float32]) -> dict[str, Any]:
    """The file's vectors, through the device's code, beside those of Keras."""
    cosines, seconds = [], []
    for frame, truth in zip(frames, wanted, strict=True):
        started = time.perf_counter()
        vector = model.golden_answer(frame).astype(np.float64)
        seconds.append(time.perf_counter() - started)
        lengths = np.linalg.norm(vector) * np.linalg.norm(truth)
        cosines.append(float(vector @ truth.ravel() / max(float(lengths), 1e-12)))
    return {
        "pictures": len(frames),
        "cosine_mean": round(float(np.mean(cosines)), 5),
        "cosine_min": round(float(np.min(cosines)), 5),
        "latency_ms": round(1000 * float(np.median(seconds)), 2),
    }
