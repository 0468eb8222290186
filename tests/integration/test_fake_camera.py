"""The fake camera keeps the same contract as the real one, as far as the observer relies on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from brokers import eventually
from fakes import FakeCamera

from edge.camera import Camera
from edge.config import CameraConfig
from edge.frame import Frame

Frames = Callable[[], list[Frame]]


class Real:
    """A simulated scene, decoded in a process of its own."""

    def __init__(self) -> None:
        self.camera = Camera("yard", CameraConfig(source="scene:gate", rate_hz=50))
        self.camera.start()

    def receive(self, timeout_s: float) -> list[Frame]:
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            self.camera.tick(time.monotonic())
            frames = self.camera.receive()
            if frames:
                return frames
            time.sleep(0.005)
        return []


class Fake:
    """The fake, whose pictures come when they are waited for."""

    def __init__(self) -> None:
        self.camera = FakeCamera()

    def receive(self, _timeout_s: float) -> list[Frame]:
        self.camera.take_picture(time.monotonic())
        return self.camera.receive()


@pytest.fixture(params=[Real, Fake])
def source(request: pytest.FixtureRequest) -> Iterator[Real | Fake]:
    made = request.param()
    yield made
    made.camera.close()


def test_nothing_comes_that_was_not_asked_for(source: Real | Fake) -> None:
    if isinstance(source, Real):
        eventually(lambda: source.camera.status.grabbed or source.receive(0.01) or source.camera.status.state == "live")
    assert source.receive(0.3) == []


def test_what_was_asked_for_comes_once(source: Real | Fake) -> None:
    source.camera.request(1)
    source.camera.request(1)
    frames = source.receive(5)
    assert len(frames) == 1
    assert frames[0].image.ndim == 3
    assert source.receive(0.3) == [], "asking twice for one frame is asking once"


def test_numbers_rise_and_the_clock_is_monotonic(source: Real | Fake) -> None:
    frames = []
    for _ in range(3):
        source.camera.request(1)
        [frame] = source.receive(5)
        frames.append((frame.number, frame.clock_s))
        source.camera.release(frame)
    assert frames == sorted(frames)
    assert abs(frames[-1][1] - time.monotonic()) < 5


def test_a_released_frame_may_be_released_again(source: Real | Fake) -> None:
    source.camera.request(1)
    [frame] = source.receive(5)
    source.camera.release(frame)
    source.camera.release(frame)
    assert source.camera.status.state == "live"
