"""Whether a watch still sees what its model was trained with, as one number."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import lively, tiny_model
from observing import Scene, watch

from edge.answer import Known
from edge.errors import ModelFileError
from edge.messages import Topics, WatchStatusMessage
from edge.model import Model
from edge.model_card import Bins, Kind, Reference, UnknownRule
from edge.record import Post
from edge.reporting import Reporter
from edge.vectors import pack
from edge.watch.drift import LEAST, NOTABLE, Drift
from trainer.reference import LEAST_PICTURES, reference, reference_of_vectors

LABELS = ("open", "shut")


def answers(rng: np.random.Generator, count: int, *, share_open: float = 0.5, sure: float = 6.0) -> np.ndarray:
    """Scores of so many pictures: open ones are answered less surely than shut ones."""
    is_open = rng.uniform(size=count) < share_open
    best = np.where(is_open, rng.beta(sure, 2, count), rng.beta(3 * sure, 2, count)) / 2 + 0.5
    return np.where(is_open[:, None], np.stack([best, 1 - best], 1), np.stack([1 - best, best], 1))


def watched(known: Reference | None, scores: np.ndarray) -> Drift:
    drift = Drift(known, spacing_s=600.0)
    for number, row in enumerate(scores):
        drift.see(LABELS[int(row.argmax())], {"score": float(row.max())}, 600.0 * number)
    return drift


@pytest.fixture(scope="module")
def known() -> Reference:
    found = reference("classify", LABELS, answers(np.random.default_rng(0), 400), None, None)
    assert found is not None
    return found


def test_what_is_like_training_has_not_drifted(known: Reference) -> None:
    numbers = [watched(known, answers(np.random.default_rng(seed), 300)).number() for seed in range(1, 8)]
    assert max(number for number in numbers if number is not None) < 0.1


def test_it_does_not_matter_how_often_the_gate_is_open(known: Reference) -> None:
    number = watched(known, answers(np.random.default_rng(1), 300, share_open=0.03)).number()
    assert number is not None
    assert number < 0.1


def test_answers_that_are_less_sure_are_noticed(known: Reference) -> None:
    number = watched(known, answers(np.random.default_rng(1), 300, sure=1.0)).number()
    assert number is not None
    assert number > NOTABLE


def test_to_be_surer_is_no_drift(known: Reference) -> None:
    assert watched(known, np.tile([0.001, 0.999], (200, 1))).number() == 0.0


def test_it_is_noticed_after_a_good_time_as_well_and_forgotten_when_it_is_over(known: Reference) -> None:
    rng = np.random.default_rng(1)
    good, bad = answers(rng, 1000), answers(rng, 500, sure=1.0)
    then = watched(known, np.concatenate([good, bad])).number()
    after = watched(known, np.concatenate([good, bad, answers(rng, 2000)])).number()
    assert then is not None
    assert after is not None
    assert then > NOTABLE > 0.1 > after


def test_too_little_says_nothing(known: Reference) -> None:
    scores = answers(np.random.default_rng(1), LEAST)
    assert watched(known, scores[:-1]).number() is None
    assert watched(known, scores).number() is not None
    assert watched(None, scores).number() is None
    assert not Drift(None).wants(0.0)


def test_looks_in_a_row_are_one(known: Reference) -> None:
    drift = Drift(known, spacing_s=600.0)
    assert drift.wants(1000.0)
    drift.see("open", {"score": 0.9}, 1000.0)
    assert not drift.wants(1599.0)
    assert drift.wants(1600.0)


def test_likeness_to_the_class_centres_is_measured_too() -> None:
    rng = np.random.default_rng(0)
    centers = np.eye(2, 8, dtype=np.float32)
    rule = UnknownRule(method="centers", threshold=0.1, arrays={"centers": pack(centers, "int8")})
    vectors = np.abs(np.repeat(centers, 100, axis=0) + rng.normal(0, 0.2, (200, 8))).astype(np.float32)
    scores = np.repeat(np.array([[0.95, 0.05], [0.05, 0.95]]), 100, axis=0)
    found = reference("classify", LABELS, scores, vectors, rule)
    assert found is not None
    assert set(found.bins) == {"score", "likeness"}
    values = [Known.of(rule).value(scores[0].astype(np.float32), vector) for vector in vectors]
    assert np.quantile(values, 0.6) == pytest.approx(found.bins["likeness"][""].edges[2], abs=1e-3)
    number = Drift(found, spacing_s=0.0)
    for _ in range(LEAST):
        number.see("open", {"score": 0.95, "likeness": 0.2}, 0.0)
    assert (number.number() or 0) > NOTABLE, "as sure as ever, of pictures that are like nothing"


def test_too_few_pictures_make_no_reference() -> None:
    rng = np.random.default_rng(0)
    assert reference("classify", LABELS, answers(rng, LEAST_PICTURES - 1), None, None) is None
    few = reference("classify", LABELS, answers(rng, 100, share_open=0.2), None, None)
    assert few is not None
    assert set(few.bins["score"]) == {"", "shut"}, "open ones are compared with all"


def test_scores_that_are_all_the_same_are_one_bin() -> None:
    found = reference("classify", LABELS, np.tile([1.0, 0.0], (60, 1)), None, None)
    assert found is not None
    assert found.bins["score"][""] == Bins(edges=(), shares=(1.0,), count=60)


@pytest.mark.parametrize(
    "bins",
    [
        {"edges": [0.5], "shares": [1], "count": 9},
        {"edges": [2, 1], "shares": [0, 1, 0], "count": 1},
        {"edges": [], "shares": [1], "count": 0},
    ],
)
def test_a_card_that_contradicts_itself_is_refused(bins: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"bins": {"score": {"": bins}}}, Reference)


@given(st.lists(st.floats(0, 1) | st.just(math.nan), max_size=200), st.integers(1, 4))
def test_whatever_is_seen_the_number_is_one(values: list[float], edges: int) -> None:
    shares = tuple([1 / (edges + 1)] * (edges + 1))
    bins = Bins(edges=tuple(np.linspace(0.1, 0.9, edges)), shares=shares, count=60)
    drift = Drift(Reference(bins={"score": {"": bins}}), spacing_s=0.0)
    for value in values:
        drift.see("any", {"score": value}, 0.0)
    number = drift.number()
    assert number is None or (number >= 0 and math.isfinite(number))


def test_a_watch_counts_its_looks_and_says_so_when_they_have_become_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bins = Bins(edges=(0.95, 0.96, 0.97, 0.98), shares=(0.2,) * 5, count=1000)
    tiny = tiny_model()
    card = msgspec.structs.replace(tiny.card, reference=Reference(bins={"score": {"": bins}}))
    model = Model.load(dataclasses.replace(tiny, card=card).write(tmp_path / "colors.tflite"))
    scene = Scene(model, gate=watch(interval_s=600.0))
    posts: list[Post] = []
    reporter = Reporter(Topics("s", "d"), posts.append, clock=lambda: 1e9, monotonic=lambda: scene.now_s)
    with contextlib.closing(scene):
        for _ in range(LEAST):
            scene.see("red")
            scene.now_s += 600
        for _ in range(2):
            reporter.watches([scene.observer.watch("gate")])
    message = posts[-1].message
    assert isinstance(message, WatchStatusMessage)
    assert message.drift is not None
    assert message.drift > NOTABLE
    assert caplog.text.count("watch gate: what it sees has become unlike") == 1


@pytest.mark.parametrize("kind", ["multilabel", "embed"])
def test_several_labels_at_once_and_vectors_drift_too(tmp_path: Path, kind: Kind) -> None:
    tiny = tiny_model(kind=kind)
    model = Model.load(tiny.write(tmp_path / "before.tflite"))
    usual = [model.predict(lively("red", seed)) for seed in range(LEAST_PICTURES)]
    found = (
        reference_of_vectors(np.stack([each.embedding for each in usual if each.embedding is not None]))
        if kind == "embed"
        else reference(kind, model.labels, np.stack([each.scores for each in usual]), None, None)
    )
    assert found is not None
    card = msgspec.structs.replace(tiny.card, reference=found)
    model = Model.load(dataclasses.replace(tiny, card=card).write(tmp_path / "after.tflite"))
    numbers = []
    for color in ("red", "green"):
        scene = Scene(model, gate=watch(interval_s=600.0))
        with contextlib.closing(scene):
            for seed in range(LEAST):
                scene.turn()
                scene.camera.take_picture(scene.now_s, lively(color, 1000 + seed))
                scene.turn()
                scene.finish()
                scene.now_s += 600
            numbers.append(scene.observer.watch("gate").drift.number())
    as_before, otherwise = numbers
    assert as_before is not None
    assert as_before < 0.15
    assert kind == "multilabel" or (otherwise or 0.0) > NOTABLE, "another colour has another direction"


def test_a_reference_for_another_size_of_vector_is_refused(tmp_path: Path) -> None:
    tiny = tiny_model(kind="embed")
    known = Reference(bins={}, center=pack(np.ones(7), "float16"))
    card = msgspec.structs.replace(tiny.card, reference=known)
    path = dataclasses.replace(tiny, card=card).write(tmp_path / "m.tflite")
    with pytest.raises(ModelFileError, match="another size than its embedding"):
        Model.load(path)
