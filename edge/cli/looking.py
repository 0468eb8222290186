"""Looking through a camera for a moment, as several commands do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from edge.errors import CameraError
from edge.waker import Readiness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.camera import Camera
    from edge.config import CameraConfig
    from edge.frame import Frame


def onlooker(name: str, config: CameraConfig) -> Camera:
    """A camera to look through, not started. Of a hot folder no picture is put away: nobody has answered it.

    Raises:
        CameraError: its source names nothing possible.
    """
    from edge.camera import Camera

    return Camera(name, msgspec.structs.replace(config, hot=None))


def frames_of(camera: Camera, config: CameraConfig, *, first_s: float | None = None) -> Iterator[Frame]:
    """Start a camera and yield its frames as they come, until a recording ends; each is valid until the next.

    Args:
        camera: not started.
        config: its own.
        first_s: how long the first may take; by default as long as it may take to open and read.

    Raises:
        CameraError: it cannot be opened, or gives no frame in time.
    """
    camera.start()
    limit_s = config.open_timeout_s + config.read_timeout_s if first_s is None else first_s
    deadline_s = time.monotonic() + limit_s
    wait = Readiness()
    while time.monotonic() < deadline_s:
        camera.request()
        wait([camera.connection] if camera.connection else [], 0.2)
        for frame in camera.receive():
            deadline_s = time.monotonic() + limit_s
            yield frame
            camera.release(frame)
        status = camera.status
        if status.state == "ended":
            return
        if status.last_error:
            raise CameraError(status.last_error)
        camera.tick(time.monotonic())
    raise CameraError(f"camera {camera.name}: no frame within {limit_s:g} s")
