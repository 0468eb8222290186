"""``fit``: from a folder of pictures to a proven model file, step by step."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edge.model_card import ModelCard
from edge.preprocess import prepare
from trainer.audit import Audit, audit
from trainer.backbones import kind_of, resolve_weights
from trainer.cluster import train_in_cluster
from trainer.data import DataSet, balanced, check_question, pictures, scan
from trainer.deciding import calibrated_card
from trainer.durable import check_out
from trainer.errors import DataError
from trainer.ladder import climb
from trainer.locks import FileLock
from trainer.place import Place, local_team
from trainer.proof import FitResult, HeldOut, prove_and_write
from trainer.quantize import to_float_tflite
from trainer.sources import list_pictures
from trainer.split import Split, split
from trainer.training import Trained, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from trainer.checkpoint import EpochRecord
    from trainer.progress import Steps
    from trainer.recipe import Recipe

_PACKAGES = ("tensorflow-cpu", "tensorflow", "keras", "ai-edge-quantizer", "ai-edge-litert", "numpy", "sightpost")


@dataclass(frozen=True, slots=True)
class Fitted:
    """The proven file, and all that a report says of how it came about."""

    result: FitResult
    data: DataSet
    parts: Split
    audit: Audit
    trained: Trained
    float_bytes: int


def fit(
    root: Path,
    out: Path,
    recipe: Recipe,
    *,
    name: str,
    steps: Steps,
    place: Place = Place(),  # noqa: B008  frozen
    on_epoch: Callable[[EpochRecord], None] = lambda _record: None,
    accept_drift: bool = False,
) -> Fitted:
    """Train, calibrate, quantize, prove and write a model.

    An interrupted ``fit`` leaves its cached features and its last epoch in a hidden folder beside ``out``; the same
    command goes on from there, and removes it when the file is written.

    Args:
        root: a folder with one sub-folder of pictures per class.
        out: where the model file goes; what is there stays until the new one is proven.
        recipe: how.
        name: the model's name, in its card and in every message that a device publishes.
        steps: shows progress.
        place: where to train; of several processes, this is process 0.
        on_epoch: called with each record of the training's history.
        accept_drift: write the file even if no rung of the ladder holds.

    Raises:
        DataError: the pictures cannot be trained on, or another process makes the same file.
        ConfigError: the recipe names an unknown backbone.
        ClusterError: another process that trains has failed, or cannot be reached.
        WeightsError: the pretrained weights are missing or do not fit.
        ProofError: the int8 file falls too far below the float model; nothing is written.
        ModelFileError: the file cannot be written.
    """
    check_out(out)
    kind_of(recipe.backbone), resolve_weights(recipe.backbone)  # what is misspelt is known before pictures are read
    recipe = _as_made(recipe)
    rng = np.random.default_rng(recipe.seed)
    data, parts, found = _look(root, recipe, rng, steps)
    spec = recipe.input_spec
    with _workdir(out, place) as workdir:
        trained = (
            train_in_cluster(place, data, parts, recipe, steps=steps, workdir=workdir, on_epoch=on_epoch)
            if place.count > 1
            else None
        ) or train(data, parts, spec, recipe, steps=steps, workdir=workdir, team=local_team(place), on_epoch=on_epoch)
        card = ModelCard(
            name=name,
            version="",  # made from the file that is taken
            kind=recipe.kind,
            input=spec,
            labels=data.labels,
            provenance=_provenance(data, parts, recipe),
        )
        with steps.step("calibrate") as step:
            card = calibrated_card(card, trained, data, parts, recipe.unknown)
            step.outcome = f"temperature {card.temperature:.2f}" + (f", {card.unknown.method}" if card.unknown else "")
        with steps.step("convert") as step:
            float_tflite = to_float_tflite(trained.model(card.temperature))
            step.outcome = f"{len(float_tflite) / 1e6:.1f} MB float"
        order = balanced(parts.train, data, len(parts.train), rng)
        candidates = climb(
            float_tflite,
            lambda count: [prepare(picture, spec) for picture in pictures(data, order[:count])],
            pictures=recipe.quantize.calibration_pictures,
            rungs=recipe.quantize.ladder,
            on_skip=steps.note,
        )
        result = prove_and_write(
            out,
            card,
            HeldOut(data, parts.test),
            float_tflite=float_tflite,
            candidates=candidates,
            recipe=recipe.quantize,
            steps=steps,
            validation=HeldOut(data, parts.validation),
            accept_drift=accept_drift,
        )
    return Fitted(result, data, parts, found, trained, len(float_tflite))


def take_part(root: Path, out: Path, recipe: Recipe, *, steps: Steps, place: Place) -> None:
    """Train together with a ``fit`` elsewhere, which is process 0 and makes the model file.

    Args:
        root: as for ``fit``: the same pictures.
        out: what is cached lies beside it until the end.
        recipe: as for ``fit``: the same.
        steps: shows progress.
        place: which process this is.

    Raises:
        DataError: the pictures cannot be trained on.
        ClusterError: another process has failed or cannot be reached, or has other pictures or another recipe.
    """
    check_out(out)
    recipe = _as_made(recipe)
    data, parts, _ = _look(root, recipe, np.random.default_rng(recipe.seed), steps)
    with _workdir(out, place) as workdir:
        train_in_cluster(place, data, parts, recipe, steps=steps, workdir=workdir)


def _as_made(recipe: Recipe) -> Recipe:
    """How a recipe was searched for is no part of how the model is made."""
    return msgspec.structs.replace(recipe, tune={})


@contextlib.contextmanager
def _workdir(out: Path, place: Place) -> Iterator[Path]:
    """The folder that an interrupted training goes on from; gone when all is done. No two processes share one.

    It is hidden: where ``out`` lies among the pictures, it would be taken for a class.

    Raises:
        DataError: another process works there.
    """
    folder = out.with_name(f".{out.name}.work" + (f"-{place.rank}" if place.rank else ""))
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / "lock")
    if not lock.try_acquire():
        raise DataError(f"{out}: another training is making this file; wait for its end, or give another --out")
    is_needed = True
    try:
        yield folder
        is_needed = False
    finally:
        if not is_needed or list(folder.iterdir()) == [lock.path]:
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _look(root: Path, recipe: Recipe, rng: np.random.Generator, steps: Steps) -> tuple[DataSet, Split, Audit]:
    with steps.step("look at the pictures", len(list_pictures(root).entries)) as step:
        data = scan(root, multilabel=recipe.kind == "multilabel", on_file=step.advance)
        check_question(data, recipe.kind)
        parts = split(data, recipe.split, rng)
        counts = ", ".join(f"{label} {count}" for label, count in data.counts().items())
        step.outcome = f"{counts}; {len(parts.validation)} to validate, {len(parts.test)} to test"
    found = audit(data)
    for finding in found.findings:
        if finding.severity == "warning":
            steps.note(f"{finding.message}. {finding.advice}")
    return data, parts, found


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
