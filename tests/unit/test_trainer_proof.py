"""The proof: which candidate is taken, what the card says of it, and when nothing is written."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from models import COLORS, plain, tiny_flatbuffer
from rich.console import Console

from edge.model import Model
from edge.model_card import InputSpec, ModelCard
from trainer import golden
from trainer.data import scan
from trainer.errors import ProofError
from trainer.evaluate import Evaluation
from trainer.ladder import Candidate
from trainer.progress import Steps
from trainer.proof import FitResult, HeldOut, _drifts, prove_and_write
from trainer.recipe import QuantizeRecipe

FLOAT = tiny_flatbuffer(input_type="float32", classes=3)
GOOD = Candidate("float16", tiny_flatbuffer(classes=3), "a good one")
BAD = Candidate("int8", tiny_flatbuffer(classes=3, input_type="float32", bias=float("nan")), "a bad one")


@pytest.fixture
def held_out(tmp_path: Path) -> HeldOut:
    for color in COLORS:
        folder = tmp_path / "pictures" / color
        folder.mkdir(parents=True)
        for number in range(4):
            cv2.imwrite(str(folder / f"{number}.png"), np.maximum(plain(color), number * 3))
    data = scan(tmp_path / "pictures")
    return HeldOut(data, tuple(range(len(data.samples))))


def prove(tmp_path: Path, held_out: HeldOut, candidates: Iterator[Candidate], **options: bool) -> FitResult:
    card = ModelCard(
        name="colors",
        version="",
        kind="classify",
        # Class i answers to channel i, and the labels are sorted: blue, green, red.
        input=InputSpec(height_px=16, width_px=16, color="bgr", scaling="raw"),
        labels=tuple(sorted(COLORS)),
    )
    return prove_and_write(
        tmp_path / "out.tflite",
        card,
        held_out,
        float_tflite=FLOAT,
        candidates=candidates,
        recipe=QuantizeRecipe(),
        steps=Steps(Console(file=io.StringIO())),
        **options,
    )


def test_the_first_candidate_that_holds_is_taken_and_no_further_one_is_made(tmp_path: Path, held_out: HeldOut) -> None:
    made = []

    def candidates() -> Iterator[Candidate]:
        for candidate in (BAD, GOOD, GOOD):
            made.append(candidate.note)
            yield candidate

    result = prove(tmp_path, held_out, candidates())
    assert made == ["a bad one", "a good one"]
    quantization = result.card.metrics["quantization"]
    assert quantization["rung"] == "float16"
    assert [each["rung"] for each in quantization["tried"]] == ["int8", "float16"]
    assert Model.load(tmp_path / "out.tflite").version == result.card.version
    assert len(result.card.version) == 12


def test_a_file_that_answers_otherwise_on_other_kernels_does_not_hold(
    tmp_path: Path, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = prove(tmp_path, held_out, iter([GOOD]))
    [tried] = result.card.metrics["quantization"]["tried"]
    assert 0 <= tried["kernels_differ_by"] < 0.05, "this one does not"
    monkeypatch.setattr(golden, "TOLERANCE", tried["kernels_differ_by"] - 0.01)
    with pytest.raises(ProofError, match="with other kernels, as other devices have, a score is off by"):
        prove(tmp_path, held_out, iter([GOOD]))


def test_nothing_is_written_where_no_candidate_holds(tmp_path: Path, held_out: HeldOut) -> None:
    with pytest.raises(ProofError, match="no rung of the ladder"):
        prove(tmp_path, held_out, iter([BAD]))
    assert not (tmp_path / "out.tflite").exists()


def test_kinds_are_judged_by_their_thresholds() -> None:
    scores = np.array([[0.7, 0.3], [0.55, 0.45], [0.2, 0.8]])
    binary = Evaluation(("no", "yes"), scores, np.array([0, 1, 1]), 1.0, "binary", {"yes": 0.4})
    assert binary.answers.tolist() == [0, 1, 1]
    assert binary.accuracy == 1.0
    assert binary.margins() == pytest.approx([0.1, 0.05, 0.4])
    several = Evaluation(("a", "b"), scores, np.array([[1, 0], [1, 1], [0, 0]]), 1.0, "multilabel", {"b": 0.4})
    assert several.answers.tolist() == [[1, 0], [1, 1], [0, 1]]
    assert several.accuracy == pytest.approx(2 / 3)
    rows = several.summary()["per_class"]
    assert (rows["a"]["recall"], rows["b"]["precision"]) == (1.0, 0.5)
    assert several.agreement(several) == 1.0


@pytest.mark.parametrize(
    ("lost", "won", "pictures", "drifts"),
    [
        (2, 0, 30, False),  # one time in four by chance
        (4, 0, 30, True),
        (12, 10, 100, False),
        (30, 10, 1000, True),
        (9, 0, 1000, False),  # within the tolerance of a hundredth
    ],
)
def test_a_fall_that_chance_explains_is_no_drift(lost: int, won: int, pictures: int, drifts: bool) -> None:
    def judged(wrong: range) -> Evaluation:
        answers = np.array([number in wrong for number in range(pictures)])
        scores = np.stack([~answers, answers], axis=1).astype(np.float64)
        return Evaluation(("a", "b"), scores, np.zeros(pictures, np.int64), 1.0)

    floats, found = judged(range(won)), judged(range(won, won + lost))
    assert _drifts(floats, found, QuantizeRecipe(tolerance=0.01)) is drifts
