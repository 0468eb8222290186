"""Which pictures are kept for the next training, and where."""

from __future__ import annotations

import contextlib
import json
import math
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from brokers import eventually
from hypothesis import given
from hypothesis import strategies as st
from models import plain, tiny_model
from observing import Scene, watch

from edge.cli import main
from edge.config import SamplesConfig
from edge.model import Model, Prediction
from edge.sampling import Sample, Sampler, Shelf, reasons
from edge.watch.outcome import Answer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(tiny_model().write(tmp_path_factory.mktemp("model") / "colors.tflite"))


class Studio:
    """A watch whose samples are kept in a folder."""

    def __init__(self, model: Model, folder: Path, samples: SamplesConfig, **watched: object) -> None:
        self.scene = Scene(model, gate=watch(samples=samples, **watched))
        self.sampler = Sampler(folder, random.Random(0))
        self.folder = folder / "samples" / "gate"
        self.scene.observer._on_answer = self.sampler.take

    def see(self, *colors: str, step_s: float = 1.0) -> None:
        for color in colors:
            self.scene.see(color)
            self.scene.now_s += step_s

    def kept(self) -> list[dict[str, object]]:
        self.sampler.close()
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.json"))]

    def close(self) -> None:
        self.sampler.close()
        self.scene.close()


@pytest.fixture
def studio(model: Model, tmp_path: Path) -> Iterator[type[Studio]]:
    made: list[Studio] = []

    class Made(Studio):
        def __init__(self, samples: SamplesConfig, **watched: object) -> None:
            super().__init__(model, tmp_path, samples, **watched)
            made.append(self)

    yield Made  # type: ignore[misc]
    for each in made:
        each.close()


def prediction(score: float, *, known: bool = True) -> Prediction:
    return Prediction(("a", "b"), np.array([score, 0.1], np.float32), known=known)


@pytest.mark.parametrize(
    ("score", "known", "previous", "chance", "why"),
    [
        (0.9, True, "a", 0.5, []),
        (0.5, True, "a", 0.5, ["uncertain"]),
        (math.nan, True, "a", 0.5, ["uncertain"]),
        (0.9, False, "a", 0.5, ["uncertain"]),
        (0.9, True, "b", 0.5, ["changed"]),
        (0.9, True, None, 0.5, []),
        (0.9, True, "a", 0.001, ["random"]),
        (0.5, True, "b", 0.001, ["changed", "uncertain", "random"]),
    ],
)
def test_what_is_worth_keeping(score: float, known: bool, previous: str | None, chance: float, why: list[str]) -> None:
    answer = Answer(None, None, None, "a", previous, score)  # type: ignore[arg-type]
    assert reasons(answer, prediction(score, known=known), SamplesConfig(random=0.01), chance) == why


def test_a_change_is_kept_with_what_was_made_of_it(studio: type[Studio]) -> None:
    here = studio(SamplesConfig(), roi_px=(0, 0, 16, 24))
    here.see("red", "red", "green")
    (sample,) = here.kept()
    assert sample["why"] == ["changed"]
    assert (sample["label"], sample["state"], sample["previous"]) == ("green", "green", "red")
    assert (sample["watch"], sample["camera"], sample["captured_at"]) == ("gate", "yard", "2023-11-14T22:15:02.000Z")
    assert set(sample["scores"]) == {"red", "green", "blue"}  # type: ignore[call-overload]
    (picture,) = here.folder.glob("*.jpg")
    assert picture.stem == "20231114T221502.000Z-2"
    np.testing.assert_allclose(cv2.imread(str(picture)), plain("green", width_px=16), atol=4)


def test_uncertain_moments_are_kept_once_in_a_while_and_changes_always(studio: type[Studio]) -> None:
    here = studio(SamplesConfig(uncertain=1.0, interval_s=10.0))
    here.see(*["red"] * 15, "green", *["green"] * 4)
    assert [sample["why"] for sample in here.kept()] == [["uncertain"], ["uncertain"], ["changed", "uncertain"]]


def test_a_folder_stays_within_its_limits(studio: type[Studio]) -> None:
    here = studio(SamplesConfig(random=1.0, interval_s=0.0, max_count=3))
    for color in ("red", "green", "blue", "red", "green"):
        here.see(color)
        while here.sampler._queue.qsize():
            pass
    kept = here.kept()
    assert [sample["label"] for sample in kept] == ["blue", "red", "green"]
    assert len(list(here.folder.iterdir())) == 6
    again = Sampler(here.folder.parent.parent, random.Random(0))
    here.scene.observer._on_answer = again.take
    here.see("red")
    again.close()
    assert [json.loads(path.read_text())["label"] for path in sorted(here.folder.glob("*.json"))] == [
        "red", "green", "red"
    ]  # fmt: skip


def test_bytes_are_limited_as_well(studio: type[Studio]) -> None:
    here = studio(SamplesConfig(random=1.0, interval_s=0.0, max_bytes=100_000))
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    for number in range(6):
        here.scene.turn()
        here.scene.camera.take_picture(here.scene.now_s, np.roll(noise, number, axis=0))
        here.scene.turn()
        here.scene.finish()
        here.scene.now_s += 1
        while here.sampler._queue.qsize():
            pass
    here.sampler.close()
    sizes = [path.stat().st_size for path in here.folder.iterdir()]
    assert 50_000 < sum(sizes) <= 100_000


def test_one_picture_that_is_too_large_does_not_push_all_others_out(tmp_path: Path) -> None:
    shelf, config = Shelf(tmp_path), SamplesConfig(max_bytes=100_000)
    shelf.keep(Sample("gate", "1", plain("red"), {}, config))
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    with pytest.raises(OSError, match="more than max_bytes allows"):
        shelf.keep(Sample("gate", "2", noise, {}, config))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.jpg", "1.json"]


def test_one_picture_that_no_jpeg_can_hold_is_told_as_such(tmp_path: Path) -> None:
    wide = plain("red", height_px=2, width_px=66_000)
    with pytest.raises(OSError, match="66000x2 pixels, more than a JPEG can hold"):
        Shelf(tmp_path).keep(Sample("gate", "1", wide, {}, SamplesConfig()))


def test_a_picture_that_the_disk_does_not_take_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").mkdir()
    with pytest.raises(OSError, match="directory"):
        Shelf(tmp_path).keep(Sample("gate", "1", plain("red"), {}, SamplesConfig()))
    assert [path.name for path in tmp_path.iterdir()] == ["1.jpg"]


def test_a_slow_disk_holds_up_nothing_and_what_it_does_not_take_is_counted(studio: type[Studio]) -> None:
    here = studio(SamplesConfig(random=1.0, interval_s=0.0))
    here.sampler._thread = threading.Thread()  # that never takes anything
    here.see(*["red"] * 7)
    assert here.sampler.counts("gate") == (0, 3)
    here.sampler._thread = None


def test_a_disk_that_does_not_take_it_is_told_once_and_counted(
    studio: type[Studio], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "samples").write_text("in the way")
    here = studio(SamplesConfig(random=1.0, interval_s=0.0))
    for _ in range(3):
        here.see("red")
        while here.sampler._queue.qsize():
            pass
    here.sampler.close()
    assert here.sampler.counts("gate") == (0, 3)
    assert caplog.text.count("samples of watch gate cannot be kept") == 1
    here.sampler._thread = None


def test_a_folder_that_was_taken_away_to_train_with_is_made_anew(studio: type[Studio]) -> None:
    here = studio(SamplesConfig(random=1.0, interval_s=0.0, max_count=2))
    for color in ("red", "green", "blue"):
        here.see(color)
        looks = here.scene.observer.watch("gate").tally.looks
        eventually(lambda looks=looks: sum(here.sampler.counts("gate")) == looks)  # type: ignore[misc]
        shutil.rmtree(here.folder)
    here.see("red")
    assert [sample["label"] for sample in here.kept()] == ["red"]
    assert here.sampler.counts("gate") == (4, 0)


def test_another_camera_whose_clock_begins_anew_is_sampled_at_once(studio: type[Studio]) -> None:
    here = studio(SamplesConfig(random=1.0, interval_s=3600.0))
    for here.scene.now_s in (100_000.0, 5.0):
        here.see("red")
    assert len(here.kept()) == 2


@given(st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_with_everything_off_nothing_is_kept(score: float, chance: float, changed: bool) -> None:
    answer = Answer(None, None, None, "a", "b" if changed else "a", score)  # type: ignore[arg-type]
    config = SamplesConfig(uncertain=0.0, changed=False, random=0.0)
    assert reasons(answer, prediction(score), config, chance) == []


def test_the_pictures_are_listed_as_the_trainer_reads_them(studio: type[Studio], tmp_path: Path) -> None:
    here = studio(SamplesConfig(random=1.0, interval_s=0.0))
    here.see("red", "green")
    here.kept()
    config = tmp_path / "edge.toml"
    config.write_text(
        '[device]\nid = "d"\nstate_dir = "."\n[cameras.yard]\nsource = 0\n[models.m]\nfile = "m.tflite"\n'
        '[watches.gate]\ncamera = "yard"\nmodel = "m"\nsamples = {}\n'
    )
    assert main(["samples", "gate", "--config", str(config)]) == 0
    assert main(["samples", "gate", "--config", str(config), "--out", str(tmp_path / "all.csv")]) == 0
    beside = (here.folder / "samples.csv").read_text().splitlines()
    above = (tmp_path / "all.csv").read_text().splitlines()
    assert beside == ["path,label", "20231114T221500.000Z-0.jpg,red", "20231114T221501.000Z-1.jpg,green"]
    assert above[1] == "samples/gate/20231114T221500.000Z-0.jpg,red"
    assert main(["samples", "gaet", "--config", str(config)]) == 64


def test_several_labels_and_none_are_listed_as_the_trainer_reads_them(tmp_path: Path) -> None:
    model = Model.load(tiny_model(kind="multilabel").write(tmp_path / "colors.tflite"))
    rules = {"min_scores": dict.fromkeys(("red", "green", "blue"), 0.7)}
    here = Studio(model, tmp_path, SamplesConfig(random=1.0, interval_s=0.0), **rules)
    with contextlib.closing(here):
        for image in (plain("red"), np.full((24, 32, 3), (20, 230, 230), np.uint8), np.zeros((24, 32, 3), np.uint8)):
            here.scene.turn()
            here.scene.camera.take_picture(here.scene.now_s, image)
            here.scene.turn()
            here.scene.finish()
            here.scene.now_s += 1
        assert [sample["label"] for sample in here.kept()] == ["red", "red + green", "none"]
    config = tmp_path / "edge.toml"
    config.write_text(
        '[device]\nid = "d"\nstate_dir = "."\n[cameras.yard]\nsource = 0\n[models.m]\nfile = "m.tflite"\n'
        '[watches.gate]\ncamera = "yard"\nmodel = "m"\nsamples = {}\n'
    )
    assert main(["samples", "gate", "--config", str(config)]) == 0
    table = (here.folder / "samples.csv").read_text().splitlines()
    assert [line.partition(",")[2] for line in table] == ["label", "red", "red|green", ""]
