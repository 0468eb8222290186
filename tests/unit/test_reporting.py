"""What is said of cameras and watches, over MQTT and in the log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from models import tiny_model
from observing import watch

from edge.camera import CameraStatus
from edge.messages import CameraStatusMessage, Topics
from edge.model import Model
from edge.record import Post
from edge.reporting import Reporter
from edge.watch.watch import Watch


class Desk:
    """A reporter, and what it has put into the outbox; its clock is turned by hand."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.now_s = 0.0
        self.reporter = Reporter(
            Topics("sightpost", "d"), self.posts.append, clock=lambda: 1e9, monotonic=lambda: self.now_s
        )

    def say(self, state: str, error: str | None = None) -> CameraStatusMessage | None:
        self.posts.clear()
        self.reporter.camera("yard", CameraStatus(state, 10.0, 5, 5, 0, 0, 1, error, 640, 360))  # type: ignore[arg-type]
        message = self.posts[0].message if self.posts else None
        assert message is None or isinstance(message, CameraStatusMessage)
        return message


@pytest.fixture
def desk(caplog: pytest.LogCaptureFixture) -> Desk:
    caplog.set_level(logging.INFO)
    return Desk()


def test_a_camera_that_is_lost_is_named_in_the_log_with_its_reason(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    message = desk.say("stale", "camera yard: not plugged in")
    assert message is not None
    assert (message.status, message.reason) == ("stale", "camera yard: not plugged in")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "camera yard: not plugged in" in caplog.text


def test_a_camera_that_is_back_gives_no_reason_from_the_past(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    message = desk.say("live", "camera yard: not plugged in")
    assert message is not None
    assert (message.status, message.reason) == ("live", None)
    assert "camera yard delivers 640x360 pixels" in caplog.text


def test_a_camera_that_comes_and_goes_does_not_flood_the_log(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    for second in range(120):
        desk.now_s = float(second)
        assert desk.say("live" if second % 2 else "stale") is not None, "MQTT hears of each"
    assert len(caplog.records) == 4


def test_a_camera_that_has_only_just_been_started_is_not_worth_a_word(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    assert desk.say("starting") is None
    assert not caplog.records


def test_what_a_camera_refuses_and_another_size_are_said_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    for width_px in (640, 640, 1280, 1280):
        status = CameraStatus(
            "live", 10.0, 5, 5, 0, 0, 0, None, width_px, 360, ("controls.gain 7 was refused: it is 1",)
        )
        desk.reporter.camera("yard", status)
    assert caplog.text.count("camera yard: controls.gain 7 was refused") == 1
    assert caplog.text.count("its frames were 640x360 pixels, and are now 1280x360") == 1


def test_a_folder_of_pictures_that_all_differ_does_not_flood_the_log(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(120):
        desk.now_s = float(second)
        desk.reporter.camera("yard", CameraStatus("live", 1.0, 5, 5, 0, 0, 0, None, 640 + second % 2, 360))
    assert len(caplog.records) == 3


def test_a_folder_that_is_still_empty_is_waited_for_and_has_no_size(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    for width_px, height_px in ((0, 0), (640, 360), (0, 0)):  # the last one is another folder, after a reload
        desk.reporter.camera("inbox", CameraStatus("live", 0.0, 0, 0, 0, 0, 0, None, width_px, height_px))
    assert [record.getMessage() for record in caplog.records] == [
        "camera inbox waits for pictures",
        "camera inbox delivers 640x360 pixels",
    ]


def test_a_recording_that_failed_beside_other_cameras_is_named_in_the_log(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    assert desk.say("failed", "camera yard: film.mp4: cannot read the video").status == "stale"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "camera yard: film.mp4: cannot read the video; mend it" in caplog.text


@pytest.mark.parametrize("state", ["dark", "covered", "frozen"])
def test_a_picture_that_is_worth_nothing_is_named_with_what_to_do(
    desk: Desk, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    message = desk.say(state, None)
    assert message.status == state
    assert message.reason
    assert f"camera yard is {state}: {message.reason}" in caplog.text


def test_a_watch_that_began_anew_has_not_missed_what_the_one_before_it_did(
    desk: Desk, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    model = Model.load(tiny_model().write(tmp_path / "colors.tflite"))
    before, after = Watch("gate", watch(), model), Watch("gate", watch(), model)
    before.tally.looks, before.cadence.missed = 1000, 400
    desk.reporter.watches([before])
    assert "looks that were dropped: gate 29 %" in caplog.text
    caplog.clear()
    after.tally.looks, after.cadence.missed = 1040, 401
    desk.reporter.watches([after])
    assert "looks that were dropped: gate 28 %" in caplog.text, "of its own looks alone, however many they are"
    caplog.clear()
    after.tally.looks, after.cadence.missed = 1090, 451
    desk.reporter.watches([after])
    assert "looks that were dropped: gate 50 %" in caplog.text
