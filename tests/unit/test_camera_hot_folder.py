"""A folder in which pictures arrive: each is shown once, whole, and put away after it was answered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from edge.camera.hot_folder import DAMAGED, DONE, PATIENCE_S, TRYING, Arrival, Arrivals, HotFolder, _free_number
from edge.camera.source import Grab
from edge.config import parse_config
from edge.errors import CameraError, ConfigError
from edge.preprocess import read_picture


def jpeg(level: int = 128) -> bytes:
    return cv2.imencode(".jpg", np.full((48, 64, 3), level, np.uint8))[1].tobytes()


class Bench:
    """A hot folder whose time passes only while it sleeps."""

    def __init__(self, folder: Path, then: Literal["move", "leave"] = "move") -> None:
        self.folder = folder
        self.now_s = 0.0
        self.hot = HotFolder(folder, then, clock=lambda: self.now_s, sleep=self._sleep)
        self.shown = 0

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def run(self, seconds: float, *, answer: bool = True) -> list[int]:
        """The grey levels of what is shown meanwhile."""
        levels = []
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            if self.hot.grab() is Grab.FRAME:
                image = self.hot.retrieve(None)
                assert image is not None
                levels.append(round(float(image.mean()), -1))
                if answer:
                    self.hot.settle(self.shown)
                self.shown += 1
        return [int(level) for level in levels]


def test_pictures_come_in_the_order_of_their_time_and_are_moved(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for name, level, when in (("b.jpg", 50, 100), ("a.jpg", 100, 200), ("notes.txt", 0, 50)):
        (tmp_path / name).write_bytes(jpeg(level))
        os.utime(tmp_path / name, (when, when))
    assert bench.run(5) == [50, 100]
    assert sorted(path.name for path in (tmp_path / DONE).iterdir()) == ["a.jpg", "b.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [DONE, "notes.txt"]


def test_a_file_that_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    whole = jpeg(200)
    for length in range(50, len(whole), 50):
        (tmp_path / "a.jpg").write_bytes(whole[:length])
        assert bench.run(0.5) == []
    (tmp_path / "a.jpg").write_bytes(whole)
    assert bench.run(4) == [200]
    assert bench.hot.damaged == 0


def test_a_picture_cut_for_good_is_set_aside_after_a_while_and_holds_nobody_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "cut.jpg").write_bytes(jpeg()[:200])
    (tmp_path / "empty.jpg").touch()
    assert bench.run(5) == []
    (tmp_path / "whole.jpg").write_bytes(jpeg(100))
    assert bench.run(5) == [100]
    assert bench.hot.damaged == 0
    bench.run(PATIENCE_S)
    assert bench.hot.damaged == 2
    assert sorted(path.name for path in (tmp_path / DAMAGED).iterdir()) == ["cut.jpg", "empty.jpg"]


@pytest.mark.parametrize("then", ["move", "leave"])
def test_what_was_not_answered_comes_again_after_a_restart_and_what_was_does_not(
    tmp_path: Path, then: Literal["move", "leave"]
) -> None:
    (tmp_path / "first.jpg").write_bytes(jpeg(50))
    bench = Bench(tmp_path, then)
    assert bench.run(5) == [50]
    (tmp_path / "second.jpg").write_bytes(jpeg(150))
    assert bench.run(5, answer=False) == [150]
    assert bench.run(5) == [], "shown twice"
    assert Bench(tmp_path, then).run(5) == [150]
    assert Bench(tmp_path, then).run(5) == []


def test_a_file_of_the_same_name_is_another_picture_and_overwrites_none(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for level in (50, 150):
        (tmp_path / "snap.jpg").write_bytes(jpeg(level))
        assert bench.run(5) == [level]
    assert {path.name for path in (tmp_path / DONE).iterdir()} == {"snap.jpg", "snap-1.jpg"}


def test_a_picture_that_is_left_and_replaced_is_new(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "leave")
    for level, when in ((50, 100), (150, 200)):
        (tmp_path / "snap.jpg").write_bytes(jpeg(level))
        os.utime(tmp_path / "snap.jpg", (when, when))
        assert bench.run(5) == [level]


def test_a_ledger_cut_by_a_power_failure_forgets_one_picture_only(tmp_path: Path) -> None:
    (tmp_path / "first.jpg").write_bytes(jpeg(50))
    assert Bench(tmp_path, "leave").run(5) == [50]
    with (tmp_path / ".sightpost-seen").open("ab") as ledger:
        ledger.write(b'["second.jpg",12')
    assert Bench(tmp_path, "leave").run(5) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    for then in ("move", "leave"):
        with pytest.raises(CameraError, match="missing: no folder for new pictures: No such file"):
            HotFolder(tmp_path / "missing", then)  # type: ignore[arg-type]


def test_a_link_to_nothing_and_a_folder_of_a_pictures_name_hide_no_picture(tmp_path: Path) -> None:
    for number in range(8):  # in whatever order the file system lists them
        (tmp_path / f"{number}-gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
        (tmp_path / f"{number}-loop.jpg").symlink_to(f"{number}-loop.jpg")
        (tmp_path / f"{number}-folder.jpg").mkdir()
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(100))
    assert Bench(tmp_path).run(5) == [100] * 8


@pytest.mark.parametrize("then", ["move", "leave"])
def test_a_name_that_is_not_utf_8_is_as_good_as_any(tmp_path: Path, then: Literal["move", "leave"]) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/t\xfcr.jpg")).write_bytes(jpeg(100))
    assert Bench(tmp_path, then).run(5) == [100]
    assert Bench(tmp_path, then).run(5) == []


def test_a_file_larger_than_any_picture_is_damaged_and_never_read(tmp_path: Path) -> None:
    with (tmp_path / "disk.png").open("wb") as file:
        file.truncate(1 << 42)  # a hole: it takes no room
    bench = Bench(tmp_path)
    assert bench.run(PATIENCE_S + 5) == []
    assert bench.hot.damaged == 1


def test_many_damaged_pictures_never_silence_it_and_are_read_no_oftener_than_it_looks(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg()[:200])
    bench = Bench(tmp_path)
    answers = 0
    while bench.now_s < 10:
        assert bench.hot.grab() is Grab.NOTHING
        answers += 1
    assert 20 < answers < 20 * 25


def test_what_is_remembered_does_not_grow_with_a_picture_that_is_replaced_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.camera.hot_folder.LEDGER_SLACK", 3)
    bench = Bench(tmp_path, "leave")
    for when in range(1, 30):
        (tmp_path / "snap.jpg").write_bytes(jpeg(when))
        (tmp_path / f"{when}.jpg").write_bytes(jpeg(when))
        (tmp_path / f"{when - 1}.jpg").unlink(missing_ok=True)
        os.utime(tmp_path / "snap.jpg", (when, when))
        assert len(bench.run(4)) == 2
    assert len((tmp_path / ".sightpost-seen").read_bytes().splitlines()) <= 8
    assert Bench(tmp_path, "leave").run(5) == []


@pytest.mark.parametrize("then", ["move", "leave"])
def test_a_picture_that_killed_two_decoders_is_damaged_and_the_next_one_is_shown(
    tmp_path: Path, then: Literal["move", "leave"], monkeypatch: pytest.MonkeyPatch
) -> None:
    class DecoderDied(BaseException):
        pass

    def read(path: Path) -> object:
        if path.name == "deadly.jpg":
            raise DecoderDied
        return read_picture(path)

    monkeypatch.setattr("edge.camera.hot_folder.read_picture", read)
    for name, when in (("deadly.jpg", 100), ("fine.jpg", 200)):
        (tmp_path / name).write_bytes(jpeg(100))
        os.utime(tmp_path / name, (when, when))
    for _ in range(2):
        with pytest.raises(DecoderDied):
            Bench(tmp_path, then).run(5)
    bench = Bench(tmp_path, then)
    assert bench.run(5) == [100]
    assert bench.hot.damaged == 1
    assert (tmp_path / DAMAGED / "deadly.jpg").exists() == (then == "move")
    assert not (tmp_path / TRYING).exists()
    assert Bench(tmp_path, then).run(5) == []


def test_a_disk_that_takes_no_note_of_what_is_tried_holds_up_no_picture(tmp_path: Path) -> None:
    (tmp_path / TRYING).mkdir()
    (tmp_path / "a.jpg").write_bytes(jpeg(100))
    assert Bench(tmp_path).run(5) == [100]


def test_a_picture_in_whose_midst_the_program_ended_once_is_shown(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(100))
    facts = (tmp_path / "a.jpg").stat()
    another, this = '["z.jpg", 1, 1]\n', f'["a.jpg", {facts.st_size}, {facts.st_mtime_ns}]\n'
    (tmp_path / TRYING).write_text(another + another + this)
    assert Bench(tmp_path).run(5) == [100]
    assert not (tmp_path / TRYING).exists()


@pytest.mark.parametrize("taken", [0, 1, 2, 3, 1000, 1023, 1024])
def test_a_free_number_is_found_with_few_questions(taken: int) -> None:
    asked: list[int] = []
    assert _free_number(lambda number: bool(asked.append(number)) or number <= taken) == taken + 1
    assert len(asked) <= 22


def test_only_files_that_have_stopped_growing_are_whole() -> None:
    arrivals = Arrivals()
    small, grown = Arrival("a", 1, 1), Arrival("a", 2, 2)
    assert arrivals.settled([small], 0.0) == []
    assert arrivals.settled([grown], 1.5) == []
    assert arrivals.settled([grown], 3.0) == [(grown, 1.5)]


def test_a_watch_that_would_pass_pictures_over_is_refused(tmp_path: Path) -> None:
    raw = {
        "device": {"id": "gate-1"},
        "cameras": {"inbox": {"source": "inbox", "hot": "move"}},
        "models": {"gate": {"file": "gate.tflite"}},
        "watches": {"gate": {"camera": "inbox", "model": "gate"}},
    }
    with pytest.raises(ConfigError, match=r"watches.gate.interval_s: must be 0 for the hot folder cameras.inbox"):
        parse_config(raw, where="edge.toml", base=tmp_path)
    raw["watches"]["gate"]["interval_s"] = 0  # type: ignore[index]
    camera = parse_config(raw, where="edge.toml", base=tmp_path).cameras["inbox"]
    assert camera.is_recording
    assert camera.is_replaceable
    assert camera.source == str(tmp_path / "inbox")
