"""The proof: the finished file, asked through the device's code, beside the float model; only then is it written."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from edge.model import Model
from edge.model_card import Golden
from edge.model_file import ModelFile, parse_model_file, seal, write_sealed
from trainer import golden
from trainer.data import DataSet, pictures
from trainer.errors import ProofError
from trainer.evaluate import Evaluation, evaluate, wilson_interval
from trainer.kernels import spread, told_apart
from trainer.pack import add_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from edge.frame import Image
    from edge.model_card import ModelCard
    from trainer.ladder import Candidate
    from trainer.progress import Steps
    from trainer.recipe import QuantizeRecipe

EXPLAINED_BY_CHANCE = 0.1
"""A fall that chance brings about more often than this is no evidence against a file."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The pictures that a model is judged by; it did not learn from them."""

    data: DataSet
    indices: tuple[int, ...]

    def labelled(self) -> Iterator[tuple[Image, int | tuple[int, ...]]]:
        """Raw frames, ``(H, W, 3) uint8 BGR``, and their class; of a multi-label set, all of their classes."""
        for index, image in zip(self.indices, pictures(self.data, self.indices), strict=True):
            sample = self.data.samples[index]
            yield image, sample.labels if self.data.multilabel else sample.label


@dataclass(frozen=True, slots=True)
class FitResult:
    """What ``fit`` made and how right it is, on pictures that it did not learn from.

    ``int8_evaluation`` is that of the file, whichever rung of the ladder made it.
    """

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
    candidates: Iterable[Candidate],
    recipe: QuantizeRecipe,
    steps: Steps,
    validation: HeldOut | None = None,
    accept_drift: bool = False,
) -> FitResult:
    """Climb the ladder until a file holds, judge it on the held-out pictures beside the float model, and write it.

    Args:
        out: where the model file goes.
        card: complete but for what is measured here; its version is made from the file that is taken.
        held_out: judge once, at the end.
        float_tflite: what the candidates are compared with.
        candidates: from ``trainer.ladder.climb``; made one after the other, only as many as are needed.
        recipe: how far a file may fall below float.
        steps: shows progress.
        validation: decides which rung holds; the held-out pictures where there are none.
        accept_drift: write the last candidate though it falls further.

    Raises:
        ProofError: no candidate holds; nothing is written.
        ModelFileError: the file cannot be written.
    """
    deciding = validation if validation is not None and validation.indices else held_out
    floats = _judge("float", _model(float_tflite, card, out), deciding, steps)
    tried: list[dict[str, Any]] = []
    for candidate in made(candidates, steps):
        flatbuffer = add_metadata(candidate.content, card)
        found = _judge(candidate.rung, _model(flatbuffer, card, out), deciding, steps)
        sensitive = [deciding.indices[position] for position in golden.choose(found)]
        apart = spread(candidate.content, card.input, pictures(deciding.data, sensitive))
        tried.append(_attempt(candidate, floats, found) | {"kernels_differ_by": round(apart, 4)})
        wrong = _wrong(floats, found, apart, recipe)
        if not wrong:
            break
        steps.note(f"{candidate.note}: {wrong}")
    else:
        if not tried or not accept_drift:
            raise ProofError(
                f"{out}: not written: no rung of the ladder ({', '.join(each['rung'] for each in tried)}) stays within "
                f"quantize.tolerance = {recipe.tolerance} of the float model, at last {wrong}; raise "
                "quantize.calibration_pictures in the recipe, or give --accept-drift if you accept it"
            )
    model = _model(flatbuffer, card, out)
    if deciding is not held_out:
        floats = _judge("float, held out", _model(float_tflite, card, out), held_out, steps)
        found = _judge(f"{candidate.rung}, held out", model, held_out, steps)
        if _drifts(floats, found, recipe) and not accept_drift:
            raise ProofError(
                f"{out}: not written: {candidate.rung} held on the validation pictures, but on the held-out ones "
                f"{_fall(floats, found)}, and quantize.tolerance = {recipe.tolerance} is allowed; raise "
                "quantize.calibration_pictures in the recipe, or give --accept-drift if you accept it"
            )
    agreed = floats.agreement(found)
    with steps.step("write the file") as step:
        chosen = [held_out.indices[position] for position in golden.choose(found)]
        samples = golden.capture(model, list(pictures(held_out.data, chosen)))
        metrics = {
            **card.metrics,
            "float": floats.summary(),
            "int8": found.summary(),
            "agreement": round(agreed, 4),
            "agreement_low": round(wilson_interval(round(agreed * len(found.truth)), len(found.truth))[0], 4),
            "quantization": {"rung": candidate.rung, "note": candidate.note, "tried": tried},
        }
        card = replace(
            card,
            version=hashlib.sha256(candidate.content).hexdigest()[:12],
            golden=Golden(count=len(chosen), tolerance=golden.TOLERANCE),
            metrics=metrics,
        )
        content = seal(add_metadata(candidate.content, card), card, samples)
        Model(parse_model_file(content, out)).prove()  # as a device will; before the old file is replaced
        write_sealed(out, content)
        step.outcome = f"{out}, {out.stat().st_size / 1e6:.1f} MB; {candidate.note}"
    return FitResult(out, card, floats, found, agreed)


def made(candidates: Iterable[Candidate], steps: Steps) -> Iterator[Candidate]:
    """Each candidate, its making shown as a step."""
    queue = iter(candidates)
    while True:
        with steps.step("quantize") as step:
            candidate = next(queue, None)
            step.outcome = (
                f"{candidate.note}, {len(candidate.content) / 1e6:.1f} MB" if candidate else "no rung is left"
            )
        if candidate is None:
            return
        yield candidate


def _judge(name: str, model: Model, held_out: HeldOut, steps: Steps) -> Evaluation:
    with steps.step(f"prove {name}", len(held_out.indices)) as step:
        found = evaluate(model, held_out.labelled(), on_picture=step.advance)
        step.outcome = f"{found.accuracy:.1%} right, {found.latency_ms:.1f} ms"
    return found


def _model(content: bytes, card: ModelCard, out: Path) -> Model:
    return Model(ModelFile(path=out, content=content, card=card, labels=card.labels, golden=None, sha256=""))


def _wrong(floats: Evaluation, found: Evaluation, apart: float, recipe: QuantizeRecipe) -> str:
    """Why a candidate does not hold; empty if it does."""
    if _drifts(floats, found, recipe):
        return f"{_fall(floats, found)}, and {recipe.tolerance:.1%} is allowed"
    return "" if apart <= golden.TOLERANCE else told_apart(apart)


def _drifts(floats: Evaluation, found: Evaluation, recipe: QuantizeRecipe) -> bool:
    """Whether it falls further than allowed, and chance does not explain it: a few pictures of a small set do not tell.

    The chance is that of a one-sided sign test on the pictures that only one of the two answers right (McNemar 1947).
    """
    if floats.accuracy - found.accuracy <= recipe.tolerance:
        return False
    lost, won = int((floats.right & ~found.right).sum()), int((found.right & ~floats.right).sum())
    differing = lost + won
    chance = sum(math.comb(differing, count) for count in range(lost, differing + 1)) / float(2**differing)
    return chance <= EXPLAINED_BY_CHANCE


def _fall(floats: Evaluation, found: Evaluation) -> str:
    return f"right in {found.accuracy:.1%}, float in {floats.accuracy:.1%}"


def _attempt(candidate: Candidate, floats: Evaluation, found: Evaluation) -> dict[str, Any]:
    return {
        "rung": candidate.rung,
        "note": candidate.note,
        "bytes": len(candidate.content),
        "float_accuracy": round(floats.accuracy, 4),
        "accuracy": round(found.accuracy, 4),
        "agreement": round(floats.agreement(found), 4),
        "latency_ms": round(found.latency_ms, 2),
    }
