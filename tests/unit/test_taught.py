"""Classes that are taught on the device, and where they are kept."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeCamera
from hypothesis import given
from hypothesis import strategies as st
from models import COLORS, plain, tiny_model
from observing import watch

from edge.config import WatchConfig
from edge.errors import ConfigError, SightpostError
from edge.model import Model
from edge.watch.lessons import SHOTS_MAX, Lessons
from edge.watch.outcome import Answer
from edge.watch.taught import Taught, direction
from edge.watch.watch import Watch


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model.load(tiny_model(kind="embed").write(tmp_path / "vectors.tflite"))


@pytest.fixture
def lessons(tmp_path: Path, model: Model) -> Lessons:
    return Lessons(tmp_path / "state" / "taught" / "gate.json", model)


def seen(model: Model, color: str, noise: int = 0) -> np.ndarray:
    image = np.clip(plain(color).astype(int) + np.random.default_rng(noise).integers(-9, 10), 0, 255)
    embedding = model.predict(image.astype(np.uint8)).embedding
    assert embedding is not None
    return embedding


def cloud(rng: np.random.Generator, middle: np.ndarray, count: int, spread: float = 0.3) -> np.ndarray:
    return np.stack([direction(np.abs(middle + rng.normal(0, spread, middle.size))) for _ in range(count)])


def test_a_picture_is_most_like_what_it_was_taught_as() -> None:
    rng = np.random.default_rng(1)
    middles = rng.uniform(0, 2, (3, 64))
    taught = Taught.of({label: cloud(rng, middle, 5) for label, middle in zip("abc", middles, strict=True)})
    for label, middle in zip("abc", middles, strict=True):
        answer = taught.answer(np.abs(middle + rng.normal(0, 0.3, 64)).astype(np.float32))
        assert (answer.label, answer.known) == (label, True)
        assert answer.score > 0.8


def test_what_is_like_nothing_that_was_taught_is_not_known() -> None:
    rng = np.random.default_rng(1)
    taught = Taught.of({label: cloud(rng, rng.uniform(0, 2, 64), 5) for label in "ab"})
    stranger = rng.uniform(0, 2, 64) * (rng.uniform(size=64) > 0.7)
    assert not taught.answer(stranger.astype(np.float32)).known


def test_more_pictures_make_it_surer() -> None:
    rng = np.random.default_rng(2)
    middles = rng.uniform(0, 2, (2, 64))
    sure = []
    for count in (2, 20):
        taught = Taught.of({label: cloud(rng, middle, count) for label, middle in zip("ab", middles, strict=True)})
        sure.append(taught.answer(middles[0].astype(np.float32)).score)
    assert 0.5 < sure[0] < sure[1]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_whatever_is_taught_the_scores_are_scores(counts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    shots = {str(number): np.stack([direction(v) for v in rng.normal(0, 1, (n, 8))]) for number, n in enumerate(counts)}
    answer = Taught.of(shots).answer(rng.normal(0, 1, (2, 2, 2)).astype(np.float32))
    assert answer.scores.shape == (len(counts),)
    assert answer.scores.sum() == pytest.approx(1, abs=1e-5)
    assert Taught.of(shots).answer(np.zeros(8, np.float32)).scores.min() >= 0


def test_lessons_are_kept_and_added_to(lessons: Lessons, model: Model) -> None:
    assert lessons.shots() == {}
    assert lessons.add("tor auf / 開", [seen(model, "red")]) == 1
    assert lessons.add("tor auf / 開", [seen(model, "red", 1), seen(model, "red", 2)]) == 3
    assert lessons.add("zu", [seen(model, "green")] * (SHOTS_MAX + 5)) == SHOTS_MAX
    assert {label: len(shots) for label, shots in lessons.shots().items()} == {"tor auf / 開": 3, "zu": SHOTS_MAX}
    np.testing.assert_allclose(lessons.shots()["zu"][0], direction(seen(model, "green")), atol=1e-3)
    assert lessons.forget("zu")
    assert not lessons.forget("zu")
    assert list(lessons.shots()) == ["tor auf / 開"]


def test_lessons_that_are_kept_at_the_same_time_are_all_kept(lessons: Lessons, model: Model) -> None:
    labels = [f"label {number}" for number in range(16)]
    vector = seen(model, "red")  # once: an interpreter answers one thread at a time
    with ThreadPoolExecutor(len(labels)) as pool:
        list(pool.map(lambda label: Lessons(lessons._path, model).add(label, [vector]), labels))
    assert sorted(lessons.shots()) == sorted(labels)


def test_a_folder_that_cannot_be_written_is_named(lessons: Lessons, model: Model) -> None:
    lessons._path.parent.parent.write_text("in the way")
    for change in (lambda: lessons.add("open", [seen(model, "red")]), lambda: lessons.forget("open")):
        with pytest.raises(SightpostError, match=r"gate\.json: cannot be written: "):
            change()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"format":1,"model":"x","shots":{"a":{"encoding":"list","shape":[2]}}}']
)
def test_a_damaged_file_is_refused_with_what_to_do(lessons: Lessons, model: Model, content: bytes) -> None:
    lessons.add("open", [seen(model, "red")])
    lessons._path.write_bytes(content)
    with pytest.raises(SightpostError, match=r"gate\.json: damaged, .*teach anew"):
        lessons.shots()


def test_lessons_of_another_model_are_refused(lessons: Lessons, model: Model, tmp_path: Path) -> None:
    lessons.add("open", [seen(model, "red")])
    other = Model.load(tiny_model(kind="embed", name="other").write(tmp_path / "other.tflite"))
    with pytest.raises(SightpostError, match="was taught with another model"):
        Lessons(lessons._path, other).taught()


def look(gate: Watch, color: str, number: int) -> Answer:
    frame = FakeCamera.frame(number, 100.0 + number, plain(color))
    picture = gate.look(frame)
    assert isinstance(picture, np.ndarray)
    answer = gate.take(frame, gate.model.interpret(gate.model.engine.infer(picture)))
    assert isinstance(answer, Answer)
    return answer


def test_a_watch_answers_with_what_it_was_taught_as_soon_as_it_was(lessons: Lessons, model: Model) -> None:
    gate = Watch("gate", watch(kind="teach"), model, lessons)
    gate.follow(time.strptime("12:00", "%H:%M"))
    first = look(gate, "red", 0)
    assert (first.label, first.reason) == ("stale", "nothing is taught yet; see sightpost teach")
    for label, color in (("open", "red"), ("shut", "green")):
        Lessons(lessons._path, model).add(label, [seen(model, color, noise) for noise in range(3)])
        gate.follow(time.strptime("12:00", "%H:%M"))
    assert [look(gate, color, number).label for number, color in enumerate(("red", "green", "green"), 1)] == [
        "open", "shut", "shut"
    ]  # fmt: skip
    assert (gate.kind, gate.labels) == ("classify", ("open", "shut"))
    lessons._path.write_bytes(b"damaged")
    gate.follow(time.strptime("12:00", "%H:%M"))
    last = look(gate, "green", 4)
    assert last.label == "stale"
    assert "teach anew" in (last.reason or "")


def test_a_watch_that_was_taught_nothing_asks_no_model_about_what_stays_the_same(
    lessons: Lessons, model: Model
) -> None:
    gate = Watch("gate", watch(kind="teach", cadence="motion"), model, lessons)

    def looks(first: int) -> int:
        before = gate.tally.looks
        for number in range(first, first + 10):
            gate.follow(time.strptime("12:00", "%H:%M"))
            frame = FakeCamera.frame(number, 100.0 * number, plain("red"))
            if isinstance(gate.look(frame), np.ndarray):
                gate.take(frame, model.predict(plain("red")))
        return gate.tally.looks - before

    assert looks(0) == 1
    lessons.add("open", [seen(model, "red")])
    assert looks(10) == 1, "what was taught meanwhile is asked for"


@pytest.mark.parametrize("rules", [{"hold_frames": 3}, {"majority": 5}, {"smooth_s": 5.0}, {"cooldown_s": 8.0}])
def test_the_state_may_be_a_label_that_was_forgotten(rules: dict[str, float], lessons: Lessons, model: Model) -> None:
    for label, color in (("open", "red"), ("shut", "green")):
        lessons.add(label, [seen(model, color)])
    gate = Watch("gate", watch(kind="teach", **rules), model, lessons)
    answers = []
    for number in range(12):
        if number == 6:
            Lessons(lessons._path, model).forget("open")
            Lessons(lessons._path, model).add("ajar", [seen(model, "blue")])
        gate.follow(time.strptime("12:00", "%H:%M"))
        answers.append(look(gate, "red" if number < 6 else "green", number))
    assert answers[5].label == "open"
    assert {answer.label for answer in answers[6:]} <= {"open", "shut"}
    assert (answers[-1].label, answers[-1].score > 0.5) == ("shut", True)


@pytest.mark.parametrize("taught", [False, True])
def test_a_look_on_command_at_a_dark_camera_says_what_was_taught_or_nothing(
    taught: bool, lessons: Lessons, model: Model
) -> None:
    if taught:
        lessons.add("open", [seen(model, "red")])
    gate = Watch("gate", watch(kind="teach"), model, lessons)
    gate.follow(time.strptime("12:00", "%H:%M"))
    gate.ask(Future())
    frame = FakeCamera.frame(0, 100.0, plain("red"))
    assert isinstance(gate.look(frame, untrusted="dark"), np.ndarray)
    answer = gate.take(frame, model.predict(plain("red")))
    assert isinstance(answer, Answer)
    assert (answer.label, answer.reason, answer.embedding) == ("stale", "dark", None)
    assert (answer.prediction and answer.prediction.label) == ("open" if taught else None)


def test_teaching_needs_a_model_that_gives_vectors(tmp_path: Path, lessons: Lessons) -> None:
    model = Model.load(tiny_model().write(tmp_path / "colors.tflite"))
    with pytest.raises(ConfigError, match="gives no feature vectors"):
        Watch("gate", WatchConfig(camera="yard", model="m", kind="teach"), model, lessons)


@pytest.mark.parametrize("color", COLORS)
def test_one_label_alone_is_that_or_unknown(color: str, model: Model) -> None:
    taught = Taught.of({"red": np.stack([direction(seen(model, "red", noise)) for noise in range(6)])})
    answer = taught.answer(seen(model, color))
    assert answer.label == ("red" if color == "red" else "unknown")
