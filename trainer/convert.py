"""``convert``: from somebody's saved Keras or TensorFlow model to a proven model file, step by step."""

from __future__ import annotations

import hashlib
import importlib.metadata
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from edge.model import Model
from edge.model_card import Golden, InputSpec, ModelCard, repeated
from edge.model_file import GoldenSamples, ModelFile, write_model_file
from edge.preprocess import prepare, read_picture
from trainer import golden
from trainer.calibration_pictures import CalibrationPictures, collect
from trainer.comparison import Asked, Comparison, ask_all, compare
from trainer.durable import check_out
from trainer.errors import DataError, ProofError
from trainer.kernels import spread, told_apart
from trainer.ladder import climb
from trainer.pack import add_metadata
from trainer.proof import made
from trainer.recipe import QuantizeRecipe
from trainer.saved.child import ask_child
from trainer.saved.protocol import REFERENCE_FILE, TFLITE_FILE, Answer, PixelMode, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.model_card import Kind
    from trainer.progress import Steps
    from trainer.saved.protocol import Inspection, Loaded

CALIBRATION_PICTURES = 100
PROVING_PICTURES = 500
REFERENCE_PICTURES = 16
"""Enough to see that the converted graph does what the saved model did."""
MAX_FALL = 0.05
"""How far a file may be less right than float, where the truth is known."""
_PACKAGES = ("tensorflow-cpu", "tensorflow", "keras", "tf-keras", "ai-edge-quantizer", "ai-edge-litert", "sightpost")
_GOLDEN_STEPS = 0.05
"""How far a golden feature may be off, as a part of the largest feature: a dozen int8 steps."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is known of a model besides itself; nothing of it is guessed.

    Attributes:
        model: the saved model.
        mode: what a pixel becomes before the model sees it.
        labels: of its outputs, in their order; empty for ``embed``.
        kind: as told; ``None`` recognises it.
        spec: how a picture is brought to the model's size; colours and size are completed from the model.
        size_px, output: for a model that leaves them open.
        trust: load it although code inside it may run.
        min_agreement: share of equal answers of float and the file below which the next rung of the ladder is tried
            and in the end nothing written; for ``embed`` the mean cosine similarity.
        time_limit_s: for loading and converting.
    """

    model: Path
    mode: PixelMode
    labels: tuple[str, ...] = ()
    kind: Kind | None = None
    spec: InputSpec = field(default_factory=InputSpec)
    size_px: tuple[int, int] | None = None
    output: str | None = None
    trust: bool = False
    min_agreement: float = 0.9
    time_limit_s: float = 900.0


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """What ``convert`` made and how it compares with the model it came from; ``example`` is one of its pictures."""

    path: Path
    example: Path
    card: ModelCard
    inspection: Inspection
    loaded: Loaded
    comparison: Comparison

    def summary(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"file": str(self.path), "bytes": self.path.stat().st_size, "name": self.card.name,
                "version": self.card.version, "kind": self.card.kind, "labels": list(self.card.labels),
                "loaded_by": self.loaded.loader, "saved_by": self.inspection.saved_by,
                "parameters": self.loaded.parameters, **self.card.metrics}  # fmt: skip


def convert(
    conversion: Conversion,
    pictures_root: Path,
    out: Path,
    *,
    name: str,
    steps: Steps,
    on_loaded: Callable[[Answer], None] = lambda _answer: None,
) -> ConvertResult:
    """Load, check, convert, quantize, prove and write somebody's saved model.

    Args:
        conversion: the model and what is known of it.
        pictures_root: pictures like those it will see; class folders named like its labels also give its accuracy.
        out: where the model file goes; what is there stays until the new one is proven.
        name: the model's name in its card and in messages.
        steps: shows progress.
        on_loaded: told what was found when the model had been loaded.

    Raises:
        UntrustedModelError: loading it could run code.
        SavedModelError: it cannot be loaded or is no picture model, or something about it was not told.
        DataError: too few pictures.
        ProofError: a converted form does not do what the model did; nothing is written.
        ModelFileError: the file cannot be written.
    """
    check_out(out)
    said = repeated(conversion.labels)
    if said:
        raise DataError(f"the labels: {said}; give each output a name of its own")
    with steps.step("look at the pictures") as step:
        pictures = collect(pictures_root, conversion.labels, limit=PROVING_PICTURES, on_file=step.advance)
        step.outcome = f"{len(pictures.paths)} pictures" + (
            "" if pictures.truth is None else ", in folders of its labels"
        )
    for line in pictures.rejected[:5]:
        steps.note(line)
    with tempfile.TemporaryDirectory(prefix="sightpost-") as folder:
        return _convert(conversion, pictures, out, Path(folder), name, steps, on_loaded)


def _convert(
    conversion: Conversion,
    pictures: CalibrationPictures,
    out: Path,
    folder: Path,
    name: str,
    steps: Steps,
    on_loaded: Callable[[Answer], None],
) -> ConvertResult:
    with steps.step("load and convert") as step:
        answer = ask_child(_request(conversion, pictures, folder), time_limit_s=conversion.time_limit_s)
        inspection, loaded = answer.inspection, answer.loaded
        if inspection is None or loaded is None or loaded.spec is None or loaded.kind is None:
            raise RuntimeError("the child left an incomplete answer")
        float_tflite = (folder / TFLITE_FILE).read_bytes()
        reference = np.load(folder / REFERENCE_FILE, allow_pickle=False)
        step.outcome = f"loaded by {loaded.loader}; {loaded.kind}"
    on_loaded(answer)
    card = ModelCard(
        name=name,
        version="",  # made from the file that is taken
        kind=loaded.kind,
        input=loaded.spec,
        labels=conversion.labels,
        provenance=_provenance(conversion, inspection, loaded),
    )
    with steps.step("prove float", len(pictures.paths)) as step:
        float_model = _model(float_tflite, card, out)
        floats = ask_all(float_model, pictures, on_picture=step.advance)
        step.outcome = f"{len(float_tflite) / 1e6:.1f} MB, {floats.latency_ms:.1f} ms"
    _check_float(compare(floats, floats, float_model, pictures), reference, out)
    model, comparison, quantization = _climbed(float_tflite, floats, card, pictures, conversion, out, steps)
    card = replace(card, version=quantization.pop("version"), metrics={"quantization": quantization})
    with steps.step("write the file") as step:
        card, samples = _with_golden(model, card, comparison, pictures)
        write_model_file(out, model.file.content, card, samples)
        Model.load(out)  # as a device would, golden samples included
        step.outcome = f"{out}, {out.stat().st_size / 1e6:.1f} MB; {quantization['note']}"
    return ConvertResult(out, pictures.paths[0], card, inspection, loaded, comparison)


def _climbed(
    float_tflite: bytes,
    floats: Asked,
    card: ModelCard,
    pictures: CalibrationPictures,
    conversion: Conversion,
    out: Path,
    steps: Steps,
) -> tuple[Model, Comparison, dict[str, Any]]:
    """The first rung of the ladder that does as float does, how it compares, and what the card says of the climb."""
    candidates = climb(
        float_tflite,
        lambda count: [prepare(read_picture(path), card.input) for path in pictures.paths[:count]],
        pictures=CALIBRATION_PICTURES,
        rungs=QuantizeRecipe().ladder,
        on_skip=steps.note,
    )
    tried: list[dict[str, Any]] = []
    fall: str | None = None
    for candidate in made(candidates, steps):
        model = _model(add_metadata(candidate.content, card), card, out)
        with steps.step(f"prove {candidate.rung}", len(pictures.paths)) as step:
            comparison = compare(floats, ask_all(model, pictures, on_picture=step.advance), model, pictures)
            step.outcome = f"agreement {comparison.agreement:.1%}, {comparison.latency_ms:.2f} ms"
        judged = {"agreement": round(comparison.agreement, 4), "latency_ms": round(comparison.latency_ms, 2)}
        tried.append({"rung": candidate.rung, "note": candidate.note, "bytes": len(candidate.content), **judged})
        fall = _fall(comparison, conversion) or _elsewhere(candidate.content, card, comparison, pictures)
        if fall is None:
            version = hashlib.sha256(candidate.content).hexdigest()[:12]
            made_as = {"rung": candidate.rung, "note": candidate.note, "tried": tried, "version": version}
            return model, comparison, made_as
        steps.note(f"{candidate.note}: {fall}")
    rungs = ", ".join(dict.fromkeys(each["rung"] for each in tried))
    raise ProofError(
        f"{out}: not written: no rung of the ladder ({rungs}) does as float does, at last: {fall}; give more pictures "
        "that look like what the model will see, or --min-agreement if you accept it"
    )


def _request(conversion: Conversion, pictures: CalibrationPictures, folder: Path) -> Request:
    return Request(
        action="export",
        path=conversion.model,
        folder=folder,
        trust=conversion.trust,
        mode=conversion.mode,
        kind=conversion.kind,
        classes=len(conversion.labels) or None,
        size_px=conversion.size_px,
        output=conversion.output,
        spec=conversion.spec,
        pictures=tuple(path.absolute() for path in pictures.paths[:REFERENCE_PICTURES]),
    )


def _model(content: bytes, card: ModelCard, out: Path) -> Model:
    return Model(ModelFile(path=out, content=content, card=card, labels=card.labels, golden=None, sha256=""))


def _check_float(floats: Comparison, reference: np.ndarray[Any, Any], out: Path) -> None:
    """Refuse a conversion that does not do as the saved model did."""
    off = floats.difference_from(reference)
    if not off <= floats.float_tolerance:
        raise ProofError(
            f"{out}: not written: the float TFLite form answers differently from the saved model (by {off:.3g}); "
            "it holds something that TFLite computes in another way"
        )


def _fall(comparison: Comparison, conversion: Conversion) -> str | None:
    """What a file does not do as float does; ``None`` if it holds."""
    if comparison.agreement < conversion.min_agreement:
        return f"agrees with float in {comparison.agreement:.1%} and {conversion.min_agreement:.1%} is asked for"
    judged = comparison.evaluations()
    if judged is None:
        return None
    as_float, found = judged
    lost = int(as_float.right.sum()) - int(found.right.sum())
    if lost > 1 and as_float.accuracy - found.accuracy > MAX_FALL:  # one picture of a small set is no evidence
        return f"right in {found.accuracy:.1%}, float in {as_float.accuracy:.1%}"
    return None


def _elsewhere(content: bytes, card: ModelCard, comparison: Comparison, pictures: CalibrationPictures) -> str | None:
    """Whether a device with other kernels would refuse the file by its golden samples, and in which words."""
    if card.kind == "embed":  # the tolerance of its golden samples is that of its own values
        return None
    frames = [read_picture(pictures.paths[position]) for position in comparison.sensitive(golden.COUNT)]
    apart = spread(content, card.input, frames)
    return None if apart <= golden.TOLERANCE else told_apart(apart)


def _with_golden(
    model: Model, card: ModelCard, comparison: Comparison, pictures: CalibrationPictures
) -> tuple[ModelCard, GoldenSamples]:
    positions = comparison.sensitive(golden.COUNT)
    samples = golden.capture(model, [read_picture(pictures.paths[position]) for position in positions])
    tolerance = golden.TOLERANCE
    if card.kind == "embed":
        features = np.stack([_features(model, frame) for frame in samples.frames])
        samples = GoldenSamples(samples.frames, features)
        tolerance = max(tolerance, _GOLDEN_STEPS * float(np.abs(features).max()))
    metrics = card.metrics | comparison.summary()
    return replace(card, golden=Golden(count=len(positions), tolerance=tolerance), metrics=metrics), samples


def _features(model: Model, frame: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401  an Image
    embedding = model.predict(frame).embedding
    if embedding is None:
        raise RuntimeError("a feature model gave no features")
    return embedding.ravel()


def _provenance(conversion: Conversion, inspection: Inspection, loaded: Loaded) -> dict[str, Any]:
    installed = {distribution.name.lower(): distribution.version for distribution in importlib.metadata.distributions()}
    return {
        "converted_from": {
            "file": conversion.model.name,
            "sha256": _digest(conversion.model),
            "format": inspection.format,
            "saved_by": inspection.saved_by,
            "loaded_by": loaded.loader,
            "trusted": conversion.trust,
        },
        "mode": conversion.mode,
        "added": loaded.added,
        "versions": {name: installed[name] for name in _PACKAGES if name in installed},
    }


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder with their names."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        if file != path:
            digest.update(str(file.relative_to(path)).encode("utf-8", "surrogateescape") + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
