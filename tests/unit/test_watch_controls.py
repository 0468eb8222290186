"""Other threads act on the observer: pause, resume, another pace, an answer out of turn."""

from __future__ import annotations

import contextlib
import multiprocessing.connection
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest
from fakes import FakeCamera
from models import plain, tiny_model
from observing import Scene, watch

from edge.model import Model
from edge.observer import Lookout, Observer
from edge.watch.outcome import Answer
from edge.watch.watch import Watch


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(tiny_model().write(tmp_path_factory.mktemp("model") / "colors.tflite"))


@pytest.fixture
def scene(model: Model) -> Iterator[Scene]:
    """A watch that looks every ten seconds."""
    scene = Scene(model, gate=watch(interval_s=10.0))
    with contextlib.closing(scene):
        yield scene


def labels(scene: Scene) -> list[str | None]:
    return [answer.label for answer in scene.answers]


def test_a_paused_watch_does_not_look_and_goes_on_when_resumed(scene: Scene) -> None:
    gate = scene.observer.watch("gate")
    scene.see("red")
    scene.observer.call(gate.pause)
    scene.turn()
    scene.now_s += 60
    assert not scene.see("green")
    scene.observer.call(gate.resume)
    scene.turn()
    assert scene.see("green")
    assert labels(scene) == ["red", "green"]


@pytest.mark.parametrize("rest", [{"cadence": "command"}, {"schedule": ("12:00-12:01",)}])
def test_a_watch_that_rests_anyway_can_be_paused_and_says_so(model: Model, rest: dict[str, object]) -> None:
    gate = Watch("gate", watch(**rest), model)
    gate.follow(time.strptime("11:00", "%H:%M"))
    gate.pause()
    assert (gate.paused, gate.cadence.resting) == (True, "paused")
    gate.resume()
    assert not gate.paused
    assert gate.cadence.resting not in (None, "paused")


def test_another_interval_counts_from_the_last_look(scene: Scene) -> None:
    scene.see("red")
    scene.observer.call(lambda: scene.observer.watch("gate").set_interval(2.0))
    scene.turn()
    came = []
    for _ in range(8):
        scene.now_s += 1.0
        came.append(scene.see("green"))
    assert came == [False, True] * 4


def test_an_answer_out_of_turn_comes_of_the_next_frame_and_leaves_the_beat(scene: Scene) -> None:
    scene.see("red")
    scene.now_s += 4
    answer = scene.observer.look_now("gate")
    scene.turn()
    assert scene.see("green")
    given = answer.result(timeout=0)
    assert isinstance(given, Answer)
    assert (given.label, given.previous) == ("green", "red")
    scene.now_s += 5.9
    assert not scene.see("green")
    scene.now_s += 0.1
    assert scene.see("green")


def test_a_paused_watch_answers_when_asked(scene: Scene) -> None:
    scene.observer.call(scene.observer.watch("gate").pause)
    scene.turn()
    answer = scene.observer.look_now("gate")
    scene.turn()
    assert scene.see("blue")
    assert answer.done()
    assert not scene.see("blue")


@pytest.mark.parametrize("rules", [{"interval_s": 1.0}, {"interval_s": 0.0}])
def test_looks_on_command_do_not_make_a_watch_miss_what_it_did_not_want(model: Model, rules: dict[str, float]) -> None:
    scene = Scene(model, gate=watch(cadence="command", **rules))
    with contextlib.closing(scene):
        for _ in range(3):
            answer = scene.observer.look_now("gate")
            scene.turn()
            assert scene.see("red")
            assert answer.done()
            for _ in range(20):
                scene.now_s += 30.0
                assert not scene.see("red")
        assert scene.observer.watch("gate").cadence.missed == 0


def test_who_asks_may_see_the_frame_until_it_is_given_back(scene: Scene) -> None:
    seen = []
    answer = scene.observer.look_now("gate")
    answer.add_done_callback(
        lambda done: seen.append((done.result().frame.number in scene.camera.held, done.result().frame.image[0, 0, 2]))
    )
    scene.turn()
    scene.see("red")
    assert seen == [(True, plain("red")[0, 0, 2])]


def test_there_is_no_such_watch(scene: Scene) -> None:
    with pytest.raises(KeyError):
        scene.observer.look_now("door")


def test_what_an_action_raises_goes_to_who_asked(scene: Scene) -> None:
    def fail() -> None:
        raise LookupError("nothing here")

    failed = scene.observer.call(fail)
    scene.turn()
    with pytest.raises(LookupError, match="nothing here"):
        failed.result(timeout=0)
    assert scene.see("red"), "the observer goes on"


def test_nobody_waits_for_an_observer_that_has_ended(scene: Scene) -> None:
    early, asked = scene.observer.call(lambda: 1), scene.observer.look_now("gate")
    with scene.observer:
        pass
    for future in (early, asked, scene.observer.call(lambda: 2), scene.observer.look_now("gate")):
        with pytest.raises(CancelledError):
            future.result(timeout=0)


def test_an_observer_that_waits_is_woken_by_a_call_and_by_a_stop(model: Model) -> None:
    camera = FakeCamera()
    looking = Watch("gate", watch(interval_s=3600.0), model)
    observer = Observer(
        [Lookout(camera, [looking], recorded=False)],  # type: ignore[arg-type]
        on_answer=lambda _: None,
        on_status=lambda *_: None,
        clock=lambda: 0.0,
        wait=lambda connections, _: multiprocessing.connection.wait(connections),  # nothing but a call ends its wait
    )
    with observer:
        thread = threading.Thread(target=observer.run)
        thread.start()
        try:
            assert observer.call(threading.current_thread).result(timeout=10) is thread
        finally:
            observer.stop()
            thread.join(10)
        assert not thread.is_alive()
