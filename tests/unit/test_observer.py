"""Who looks when, and that no frame is kept or lost on the way."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import FakeCamera
from models import plain, tiny_model
from observing import Scene, watch

from edge.config import WatchConfig
from edge.errors import CameraError, ConfigError
from edge.model import Model
from edge.observer import Lookout
from edge.watch.watch import Watch


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


def test_a_model_that_gives_no_answer_is_no_progress(
    look: Callable[..., Scene], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = threading.Event()
    engine = SimpleNamespace(infer=lambda picture: hung.wait(10) and model.engine.infer(picture))
    monkeypatch.setattr(model, "engines", [engine])
    scene = look(gate=watch())
    scene.turn()
    scene.now_s += 20
    scene.turn()
    assert scene.observer.last_progress_s == scene.now_s, "nobody asked it anything"
    scene.camera.take_picture(scene.now_s, plain("red"))
    scene.turn()
    asked_s = scene.now_s
    for _ in range(5):
        scene.now_s += 20
        scene.turn()
    assert scene.observer.last_progress_s == asked_s
    hung.set()
    scene.finish()
    scene.now_s += 20
    scene.turn()
    assert scene.observer.last_progress_s == scene.now_s


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


def test_a_camera_that_has_failed_for_good_leaves_no_answer_standing(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch())
    scene.see("red")
    scene.camera.state = "failed"
    scene.now_s += 1
    scene.turn()
    assert (scene.answers[-1].label, scene.answers[-1].reason) == ("stale", "no frames")


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


@pytest.mark.parametrize(
    ("state", "reason"), [("stale", "no frames"), ("dark", "dark"), ("frozen", "frozen"), ("covered", "covered")]
)
def test_a_state_becomes_stale_when_the_camera_shows_nothing_and_is_decided_anew(
    state: str, reason: str, look: Callable[..., Scene]
) -> None:
    scene = look(gate=watch())
    scene.see("red")
    scene.camera.state = state
    scene.now_s += 1
    scene.turn()
    scene.now_s += 1
    scene.see("green")
    scene.camera.state = "live"
    scene.see("green")
    changes = [(answer.label, answer.reason) for answer in scene.answers if answer.changed]
    assert changes == [("red", None), ("stale", reason), ("green", None)]
    assert scene.camera.held == set()
    assert scene.observer.watch("gate").tally.looks == 2, "no model is asked about a picture that is worth nothing"


def test_an_answer_in_flight_does_not_hide_that_the_camera_is_lost(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(interval_s=60.0))
    scene.see("red")
    scene.camera.state = "stale"
    scene.now_s += 1
    scene.turn()
    gate = scene.observer.watch("gate")
    late = FakeCamera.frame(99, scene.now_s - 1, plain("green"))
    picture = gate.look(late)
    assert gate.take(late, gate.model.interpret(gate.model.engine.infer(picture))).label == "green"
    scene.now_s += 1
    scene.turn()
    assert gate.state == "stale"


def test_an_answer_that_is_too_old_says_so(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(interval_s=1.0, max_age_s=5.0))
    scene.see("red")
    for _ in range(12):
        scene.now_s += 0.5
        scene.turn()
    assert [(answer.label, answer.reason) for answer in scene.answers if answer.changed] == [
        ("red", None),
        ("stale", "no answer for 5 s"),
    ]


def test_a_frame_that_is_too_old_is_not_trusted(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(interval_s=1.0, max_age_s=5.0))
    scene.turn()
    scene.camera.take_picture(scene.now_s - 6, plain("red"))
    scene.turn()
    assert [answer.label for answer in scene.answers] == ["stale"]


def test_a_still_region_is_looked_at_again_before_its_answer_is_too_old(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(cadence="motion", interval_s=1.0, max_age_s=20.0))
    for _ in range(30):
        scene.see("red")
        scene.now_s += 1
    looked = [round(answer.frame.clock_s - 100) for answer in scene.answers if answer.frame]
    assert looked == [0, 1, 2, 12, 22]
    assert scene.observer.watch("gate").tally.still == 25


def test_a_still_region_gives_no_more_vectors_than_answers(tmp_path: Path) -> None:
    vectors = Model.load(tiny_model(kind="embed").write(tmp_path / "vectors.tflite"))
    scene = Scene(vectors, gate=watch(cadence="motion", interval_s=1.0, max_age_s=20.0))
    with contextlib.closing(scene):
        for _ in range(30):
            scene.see("red")
            scene.now_s += 1
        assert len(scene.answers) == 5


@pytest.mark.parametrize("state", ["stale", "dark"])
def test_a_still_region_is_looked_at_when_its_camera_is_back(state: str, look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(cadence="motion", hold_frames=10))
    for camera, seconds in (("live", 30), (state, 5), ("live", 30)):
        scene.camera.state = camera
        for _ in range(seconds):
            scene.see("red")
            scene.now_s += 1
    assert [answer.label for answer in scene.answers if answer.changed] == ["red", "stale", "red"]


@pytest.mark.parametrize("rules", [{"cooldown_s": 30.0}, {"majority": 15}, {"hold_s": 5.0, "majority": 9}])
def test_a_gate_stays_open_until_what_has_moved_is_decided(rules: dict[str, float], look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(1.0, cadence="motion", **rules))
    for color, seconds in (("red", 20), ("blue", 60), ("green", 60)):
        for _ in range(seconds):
            scene.see(color)
            scene.now_s += 1
    assert [answer.label for answer in scene.answers if answer.changed] == ["red", "blue", "green"]
    assert scene.observer.watch("gate").tally.still > 60


def test_what_an_earlier_run_said_grows_old_though_nothing_is_looked_at(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(cadence="command", max_age_s=5.0))
    for _ in range(12):
        scene.turn()
        scene.now_s += 0.5
    assert [(answer.label, answer.reason) for answer in scene.answers] == [("stale", "it looks on command only")]


def test_questions_that_were_given_up_are_not_kept_while_the_camera_is_away(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(interval_s=60.0))
    for _ in range(100):
        asked = scene.observer.look_now("gate")
        scene.turn()
        asked.cancel()
    assert len(scene.observer.watch("gate")._asked) <= 1


def test_a_watch_on_command_looks_when_it_is_told_to(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(cadence="command"))
    assert not scene.see("red")
    asked = scene.observer.look_now("gate")
    scene.turn()
    assert scene.see("red")
    assert asked.result(0).label == "red"
    assert not scene.see("red")


def test_a_schedule_is_followed(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(interval_s=0.0, schedule=("08:00-09:00",)))
    looks = []
    for hour in (7, 8, 9):
        scene.local_time = time.strptime(f"{hour}:30", "%H:%M")
        scene.now_s += 1
        scene.see("red")
        looks.append(len(scene.answers))
    assert looks == [0, 1, 1]


def test_how_the_watches_are_is_told_once_a_minute_and_when_one_rests_or_looks_more_often(
    look: Callable[..., Scene],
) -> None:
    scene = look(gate=watch(interval_s=1.0))
    gate, told = scene.observer.watch("gate"), []
    scene.observer._on_watches = lambda _: told.append(
        (scene.now_s - 100, gate.cadence.resting, gate.cadence.interval_s)
    )
    for second in range(100):
        if second == 20:
            scene.observer.call(lambda: gate.set_interval(0.5))
        if second == 30:
            scene.observer.call(gate.pause)
        scene.turn()
        scene.now_s += 1
    assert told == [(0, None, 1.0), (21, None, 0.5), (31, "paused", 0.5), (91, "paused", 0.5)]


def test_regions_that_do_not_fit_leave_the_state_stale_and_say_why(look: Callable[..., Scene]) -> None:
    scene = look(gate=watch(roi_px=(0, 0, 64, 64)))
    scene.see("red")
    answer = scene.answers[0]
    assert answer.label == "stale"
    assert "reaches to 64x64 pixels, but the camera's frames have 32x24" in (answer.reason or "")


def test_watches_of_one_camera_miss_evenly_what_is_too_much(look: Callable[..., Scene]) -> None:
    scene = look(**{f"bay{number}": watch() for number in range(8)}, often=watch(interval_s=0.01))
    for _ in range(20):
        scene.see("red")
        for _ in range(3):
            scene.camera.take_picture(scene.now_s, plain("red"))  # nobody asks: frames that are skipped
        scene.now_s += 0.1
    looks = {scene.observer.watch(f"bay{number}").tally.looks for number in range(8)}
    missed = {scene.observer.watch(f"bay{number}").cadence.missed for number in range(8)}
    assert len(looks) == 1
    assert len(missed) == 1
    assert missed.pop() > 0
    assert scene.observer.watch("often").cadence.missed > 0
