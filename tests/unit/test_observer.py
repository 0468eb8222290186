"""Who looks when, and that no frame is kept or lost on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakes import FakeCamera
from models import plain, tiny_model
from observing import Scene, watch

from edge.config import WatchConfig
from edge.errors import CameraError, ConfigError
from edge.model import Model
from edge.observer import Lookout
from edge.watch import Watch


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(tiny_model().write(tmp_path_factory.mktemp("model") / "colors.tflite"))


@pytest.fixture
def look(model: Model) -> Iterator[Callable[..., Scene]]:
    """Makes scenes, and closes their cameras."""
    with contextlib.ExitStack() as scenes:

        def make(**options: Any) -> Scene:
            scene = Scene(model, **options)
            scenes.callback(scene.close)
            return scene

        yield make


def test_an_answer_is_given_for_each_frame_asked_for(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch())
    for color in ("red", "green", "green"):
        assert scene.see(color)
        scene.now_s += 0.1
    assert [answer.label for answer in scene.answers] == ["red", "green", "green"]
    assert [answer.changed for answer in scene.answers] == [True, True, False]
    assert [answer.previous for answer in scene.answers] == [None, "red", "green"]


def test_frames_are_given_back(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch())
    for _ in range(5):
        scene.see("red")
        scene.now_s += 0.1
    assert scene.camera.held == set()
    assert scene.camera.released == [0, 1, 2, 3, 4]


def test_a_watch_with_an_interval_orders_a_frame_only_when_it_is_due(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(interval_s=1.0))
    came = []
    for _ in range(25):
        came.append(scene.see("red"))
        scene.now_s += 0.125
    assert [index for index, was_wanted in enumerate(came) if was_wanted] == [0, 8, 16, 24]


def test_a_late_frame_does_not_make_a_watch_hurry(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(interval_s=1.0))
    scene.see("red")
    scene.now_s += 5.5
    assert scene.see("red")
    scene.now_s += 0.5
    assert not scene.see("red"), "beats that were missed are not made up for"
    scene.now_s += 0.5
    assert scene.see("red")


def test_each_watch_has_its_own_clock(look: Callable[..., Scene]) -> None:
    scene = look(often=watch(interval_s=0.5), rarely=watch(interval_s=2.0))
    for _ in range(33):
        scene.see("red")
        scene.now_s += 0.125
    names = [answer.watch.name for answer in scene.answers]
    assert names.count("often") == 9
    assert names.count("rarely") == 3


def test_a_recording_delivers_every_frame_and_a_watch_takes_its_pick(look: Callable[..., Scene]) -> None:
    scene = look(recorded=True, all=watch(), some=watch(interval_s=1.0))
    for number in range(20):
        scene.turn()
        assert scene.camera.take_picture(number / 10, plain("red"))
        scene.turn()
        scene.finish()
    names = [answer.watch.name for answer in scene.answers]
    assert (names.count("all"), names.count("some")) == (20, 2)


def test_an_unsteady_answer_is_held_back(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(hold_s=0.5))
    for color in ("red", "green", "red", "red", "red", "red", "red"):
        scene.see(color)
        scene.now_s += 0.2
    assert [answer.label for answer in scene.answers if answer.changed] == ["red"]


def test_a_change_of_the_cameras_state_is_told_once(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch())
    for state in ("live", "live", "stale", "stale", "live"):
        scene.camera.state = state
        scene.turn()
        scene.now_s += 1
    assert [status.state for _, status in scene.statuses] == ["live", "stale", "live"]


def test_it_ends_when_the_recording_has_ended(look: Callable[..., Scene]) -> None:
    scene = look(recorded=True, gate=watch())
    scene.camera.state = "ended"
    scene.observer.run()


def test_a_recording_that_cannot_be_read_is_an_error(look: Callable[..., Scene]) -> None:
    scene = look(recorded=True, gate=watch())
    scene.camera.state, scene.camera.last_error = "failed", "camera yard: x.mp4 is no video"
    with pytest.raises(CameraError, match=r"x\.mp4 is no video"):
        scene.observer.run()


def test_a_recording_that_fails_does_not_end_what_another_camera_sees(look: Callable[..., Scene], model: Model) -> None:
    scene = look(gate=watch())
    with contextlib.closing(FakeCamera("broken", state="failed", last_error="no video")) as broken:
        broken_lookout = Lookout(broken, [Watch("other", watch(), model)], recorded=True)  # type: ignore[arg-type]
        scene.observer._lookouts = [*scene.observer._lookouts, broken_lookout]
        assert not scene.observer._all_ended()
        assert scene.see("red")
        scene.camera.state = "ended"
        with pytest.raises(CameraError, match="no video"):
            scene.observer.run()


def test_a_stop_is_heeded(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch())
    scene.observer.stop()
    scene.observer.run()


def test_a_watch_of_an_embedding_needs_a_model_that_gives_one(model: Model) -> None:
    with pytest.raises(ConfigError, match=r"watches\.gate\.output: .* gives no feature vectors"):
        Watch("gate", WatchConfig(camera="yard", model="colors", output="embedding"), model)
