"""The proof: the finished file, asked through the device's code, beside the float model; only then is it written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from edge.model import Model
from edge.model_card import Golden
from edge.model_file import ModelFile, write_model_file
from trainer import golden
from trainer.data import DataSet, pictures
from trainer.errors import ProofError
from trainer.evaluate import Evaluation, agreement, evaluate
from trainer.pack import add_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.frame import Image
    from edge.model_card import ModelCard
    from trainer.progress import Steps
    from trainer.recipe import QuantizeRecipe


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The pictures that a model is judged by; it did not learn from them."""

    data: DataSet
    indices: tuple[int, ...]

    def labelled(self) -> Iterator[tuple[Image, int]]:
        """Raw frames, ``(H, W, 3) uint8 BGR``, and their class."""
        for index, image in zip(self.indices, pictures(self.data, self.indices), strict=True):
            yield image, self.data.samples[index].label


@dataclass(frozen=True, slots=True)
class FitResult:
    """What ``fit`` made and how right it is, on pictures that it did not learn from."""

    path: Path
    card: ModelCard
    float_evaluation: Evaluation
    int8_evaluation: Evaluation
    agreement: float

    def summary(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"file": str(self.path), "bytes": self.path.stat().st_size, "name": self.card.name,
                "version": self.card.version, "labels": list(self.card.labels), **self.card.metrics}  # fmt: skip


def prove_and_write(
    out: Path,
    card: ModelCard,
    held_out: HeldOut,
    *,
    float_tflite: bytes,
    int8_tflite: bytes,
    recipe: QuantizeRecipe,
    steps: Steps,
) -> FitResult:
    """Judge float and int8 on the held-out pictures through the device's code, add golden samples, and write.

    Raises:
        ProofError: int8 falls further below float than the recipe allows; nothing is written.
        ModelFileError: the file cannot be written.
    """
    evaluations = []
    flatbuffer = add_metadata(int8_tflite, card)
    for kind, content in (("float", float_tflite), ("int8", flatbuffer)):
        with steps.step(f"prove {kind}", len(held_out.indices)) as step:
            model = _model(content, card, out)
            evaluations.append(evaluate(model, held_out.labelled(), on_picture=step.advance))
            step.outcome = f"{evaluations[-1].accuracy:.1%} right, {evaluations[-1].latency_ms:.1f} ms"
    float_evaluation, int8_evaluation = evaluations
    agreed = agreement(float_evaluation, int8_evaluation)
    _check_drift(float_evaluation, int8_evaluation, recipe, out)
    with steps.step("write the file") as step:
        chosen = [held_out.indices[position] for position in golden.choose(int8_evaluation)]
        samples = golden.capture(model, list(pictures(held_out.data, chosen)))
        metrics = {
            "float": float_evaluation.summary(),
            "int8": int8_evaluation.summary(),
            "agreement": round(agreed, 4),
        }
        card = replace(card, golden=Golden(count=len(chosen), tolerance=golden.TOLERANCE), metrics=metrics)
        write_model_file(out, flatbuffer, card, samples)
        Model.load(out)  # as a device would, golden samples included
        step.outcome = f"{out}, {out.stat().st_size / 1e6:.1f} MB"
    return FitResult(out, card, float_evaluation, int8_evaluation, agreed)


def _model(content: bytes, card: ModelCard, out: Path) -> Model:
    return Model(ModelFile(path=out, content=content, card=card, labels=card.labels, golden=None, sha256=""))


def _check_drift(float_evaluation: Evaluation, int8_evaluation: Evaluation, recipe: QuantizeRecipe, out: Path) -> None:
    lost = int(float_evaluation.right.sum()) - int(int8_evaluation.right.sum())
    fall = float_evaluation.accuracy - int8_evaluation.accuracy
    # One picture of a small set is no evidence.
    if fall > recipe.tolerance and lost > 1:
        raise ProofError(
            f"{out}: not written: int8 is right in {int8_evaluation.accuracy:.1%}, float in "
            f"{float_evaluation.accuracy:.1%}, and a fall of {recipe.tolerance:.1%} is allowed; raise "
            "quantize.calibration_pictures in the recipe, or quantize.tolerance if you accept it"
        )
