"""Serving cameras in a test as the daemon does, and waiting fairly on a busy machine."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.camera import Camera
    from edge.frame import Frame


def waited_s() -> float:
    """Seconds since boot for which a busy machine made somebody wait, as the kernel counts them: no fault of ours."""
    kinds = [Path("/proc/pressure") / kind for kind in ("cpu", "memory", "io")]
    some = [kind.read_text().split("\n")[0] for kind in kinds if kind.exists()]
    return sum(int(line.rpartition("total=")[2]) for line in some) / 1e6


def pid_of(camera: Camera) -> int:
    assert camera.pid is not None
    return camera.pid


class Watcher:
    """Serves cameras as the daemon's one observing thread does, asking each for every frame."""

    def __init__(self, *cameras: Camera) -> None:
        self.cameras = cameras
        self.frames: dict[str, list[Frame]] = {camera.name: [] for camera in cameras}
        self.states: dict[str, list[str]] = {camera.name: [] for camera in cameras}
        self.longest_s = 0.0

    def until(self, condition: Callable[[], bool], *, timeout_s: float = 90.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, [camera.status for camera in self.cameras]
            wait([camera.connection for camera in self.cameras if camera.connection], timeout=0.02)
            started_s = time.monotonic()
            for camera in self.cameras:
                camera.request()
                for frame in camera.receive():
                    self.frames[camera.name].append(frame)
                    camera.release(frame)
                camera.tick(time.monotonic())
                if self.states[camera.name][-1:] != [camera.status.state]:
                    self.states[camera.name].append(camera.status.state)
            self.longest_s = max(self.longest_s, time.monotonic() - started_s)

    def until_more(self, camera: Camera, count: int, *, timeout_s: float = 90.0) -> None:
        wanted = len(self.frames[camera.name]) + count
        self.until(lambda: len(self.frames[camera.name]) >= wanted, timeout_s=timeout_s)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
