"""Pictures of what a watch saw: small enough, with a note inside, and never in the way."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from brokers import eventually
from delivery import TOPICS
from models import plain, tiny_model
from scenes import photograph

from edge.config import PictureConfig, WatchConfig
from edge.decision import Visits
from edge.errors import ConfigError
from edge.frame import Frame
from edge.jpeg import encode, read_note, shrink
from edge.model import Model
from edge.pictures import NoPictureError, Photographer
from edge.record import Post
from edge.watch.outcome import Answer
from edge.watch.watch import Watch

Image = npt.NDArray[np.uint8]


def decoded(jpeg: bytes) -> Image:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(tiny_model().write(tmp_path_factory.mktemp("model") / "colors.tflite"))


class Studio:
    def __init__(self, model: Model, **picture: Any) -> None:
        self.posts: list[Post] = []
        config = WatchConfig(camera="yard", model="colors", roi=(0.5, 0.0, 1.0, 1.0), picture=PictureConfig(**picture))
        self.watch = Watch("gate", config, model)
        self.model = model
        self.photographer = Photographer(TOPICS, lambda *posts: self.posts.extend(posts))

    def answer(self, image: Image, *, label: str = "open", previous: str | None = "shut") -> Answer:
        frame = Frame(image, 0, captured_at_s=1_790_000_000.25, clock_s=1.0)
        prediction = self.model.predict(plain("red"))
        return Answer(self.watch, frame, prediction, label, previous, 0.9, visits=Visits())


@pytest.fixture
def studio(model: Model) -> Any:
    made = Studio(model)
    yield made
    made.photographer.close()


def test_a_change_is_pictured_in_the_watchs_region_with_a_note(studio: Studio) -> None:
    image = np.zeros((100, 400, 3), np.uint8)
    image[:, 200:] = (0, 0, 255)
    studio.photographer.answer(studio.answer(image))
    [post] = eventually(lambda: studio.posts)
    assert (post.topic, post.retain) == ("sightpost/porch/gate/image", True)
    assert isinstance(post.message, bytes)
    seen = decoded(post.message)
    assert seen.shape == (100, 200, 3)
    assert seen.mean(axis=(0, 1)).round() == pytest.approx([0, 0, 254], abs=3)
    assert read_note(post.message) == {
        "device": "porch",
        "watch": "gate",
        "captured_at": "2026-09-21T14:13:20.250Z",
        "label": "open",
        "score": 0.9,
    }


def test_what_is_no_change_is_not_pictured_unless_somebody_asks(studio: Studio) -> None:
    studio.photographer.answer(studio.answer(plain("red"), previous="open"))
    taken = studio.photographer.take(studio.answer(plain("red"), previous="open")).result(10)
    assert len(studio.posts) == 1
    assert taken.payload == studio.posts[0].message
    without = msgspec.structs.replace(studio.watch.config, picture=None)
    studio.watch.config = without
    studio.photographer.answer(studio.answer(plain("red")))
    assert studio.photographer.take(studio.answer(plain("red"))).result(10).note["watch"] == "gate"
    assert len(studio.posts) == 2


def test_a_camera_that_shows_nothing_gives_no_picture(studio: Studio) -> None:
    blind = Answer(studio.watch, None, None, "stale", "open", float("nan"), visits=Visits())
    studio.photographer.answer(blind)
    assert isinstance(studio.photographer.take(blind).exception(5), NoPictureError)
    assert studio.posts == []


def test_a_region_that_does_not_fit_gives_no_picture_and_ends_nothing(model: Model) -> None:
    studio = Studio(model)
    config = WatchConfig(camera="yard", model="colors", roi_px=(0, 0, 1000, 1000), picture=PictureConfig())
    studio.watch = Watch("gate", config, model)
    answer = studio.watch.look(Frame(plain("red"), 0, captured_at_s=1_790_000_000.25, clock_s=1.0))
    assert isinstance(answer, Answer)
    studio.photographer.answer(answer)
    taken = studio.photographer.take(answer)
    studio.photographer.close()
    with pytest.raises(ConfigError, match="its region reaches to 1000x1000 pixels"):
        taken.result(timeout=0)
    assert studio.posts == []


def test_pictures_that_come_too_fast_are_overtaken_by_the_newest_and_counted(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr("edge.pictures.encode", lambda *arguments: gate.wait(10) and encode(*arguments))
    for number in range(20):
        studio.photographer.answer(studio.answer(plain("red"), label=str(number)))
    asked = studio.photographer.take(studio.answer(plain("red"), label="asked"))
    gate.set()
    assert asked.result(10).note["label"] == "asked"
    assert len(studio.posts) <= 2
    assert studio.watch.tally.pictures_lost >= 19


def test_the_observer_waits_for_no_encoding(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.pictures.encode", lambda *_: time.sleep(0.5))
    studio = Studio(model, of="frame")
    image = noise(720, 1280)
    studio.photographer.answer(studio.answer(image))  # warm
    before_s = time.perf_counter()
    for _ in range(10):
        studio.photographer.answer(studio.answer(image))
    assert (time.perf_counter() - before_s) / 10 < 0.1
    studio.photographer.close()


def test_one_picture_that_fails_does_not_end_the_others(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("edge.pictures.encode", lambda *_: 1 // 0)
        failed = studio.photographer.take(studio.answer(plain("red")))
        assert isinstance(failed.exception(10), ZeroDivisionError)
    assert studio.photographer.take(studio.answer(plain("red"))).result(10)


def test_nor_does_one_that_fails_when_nobody_waits_for_it_any_more(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = threading.Event()
    with monkeypatch.context() as broken:
        broken.setattr("edge.pictures.encode", lambda *_: given_up.wait(10) and 1 // 0)
        failed = studio.photographer.take(studio.answer(plain("red")))
        assert failed.cancel()
        given_up.set()
        waiting = studio.photographer.take(studio.answer(plain("red")))
        assert isinstance(waiting.exception(10), ZeroDivisionError)
    assert studio.photographer.take(studio.answer(plain("red"))).result(10)


@pytest.mark.parametrize("max_bytes", [200_000, 40_000, 8_000, 2_000])
def test_no_picture_is_larger_than_allowed(max_bytes: int) -> None:
    jpeg = encode(noise(360, 640), {"label": "open"}, PictureConfig(max_bytes=max_bytes))
    assert jpeg is not None
    assert len(jpeg) <= max_bytes
    assert decoded(jpeg).shape[0] <= 360
    assert read_note(jpeg) == {"label": "open"}


def test_a_picture_that_cannot_be_made_small_enough_is_none() -> None:
    assert encode(noise(40, 40), {"label": "x" * 3000}, PictureConfig(max_bytes=2000)) is None
    assert encode(noise(40, 40), {"label": "x" * 70_000}, PictureConfig()) is not None, "without the note then"


@pytest.mark.parametrize(("height", "width", "max_px", "expected"), [
    (1080, 1920, 640, (360, 640)), (360, 640, 640, (360, 640)), (1, 5000, 100, (1, 100)), (3000, 2, 64, (64, 1)),
])  # fmt: skip
def test_a_frame_is_made_small_and_copied(height: int, width: int, max_px: int, expected: tuple[int, int]) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    small = shrink(image, max_px)
    assert small.shape == (*expected, 3)
    assert not np.may_share_memory(small, image)


def test_shrinking_keeps_the_picture() -> None:
    image = photograph(3, 480, 640)
    small = shrink(image, 160)
    reference = np.asarray(cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA), np.uint8)
    assert np.abs(small.astype(int) - reference).mean() < 2


def test_somebody_elses_jpeg_has_no_note(tmp_path: Path) -> None:
    assert read_note(cv2.imencode(".jpg", plain("red"))[1].tobytes()) is None
    assert read_note(b"") is None
