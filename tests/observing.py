"""An observer on a fake camera, turned by hand."""

from __future__ import annotations

import multiprocessing.connection
import time
from typing import Any

from fakes import FakeCamera
from models import plain

from edge.camera import CameraStatus
from edge.config import WatchConfig
from edge.model import Model
from edge.observer import Lookout, Observer
from edge.watch.outcome import Answer
from edge.watch.watch import Watch


class Scene:
    """An observer on a fake camera, with a clock of its own, turned by hand."""

    def __init__(self, model: Model, *, recorded: bool = False, **watches: WatchConfig) -> None:
        self.camera = FakeCamera()
        self.now_s = 100.0
        self.local_time = time.localtime(0)
        self.answers: list[Answer] = []
        self.statuses: list[tuple[str, CameraStatus]] = []
        looking = [Watch(name, config, model) for name, config in watches.items()]
        self.observer = Observer(
            [Lookout(self.camera, looking, recorded=recorded)],  # type: ignore[arg-type]
            on_answer=self.answers.append,
            on_status=lambda name, status: self.statuses.append((name, status)),
            clock=lambda: self.now_s,
            local_time=lambda: self.local_time,
            wait=lambda connections, _: multiprocessing.connection.wait(connections, 0),
        )

    def close(self) -> None:
        self.observer.__exit__()

    def turn(self) -> None:
        self.observer._turn()

    def see(self, color: str) -> bool:
        """Turn so that frames are ordered, let one come, and turn again until it has been looked at."""
        self.turn()
        came = self.camera.take_picture(self.now_s, plain(color))
        self.turn()
        self.finish()
        return came

    def finish(self) -> None:
        """Turn until every frame has its answers."""
        deadline_s = time.monotonic() + 10
        while self.camera.held:
            assert time.monotonic() < deadline_s, "an answer never came"
            self.turn()


def watch(interval_s: float = 0.0, **rules: Any) -> WatchConfig:
    return WatchConfig(camera="yard", model="colors", interval_s=interval_s, **rules)
