"""Reading a recording to its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.camera.ring import SLOTS
from edge.errors import CameraError
from edge.waker import Readiness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.camera.camera import Camera
    from edge.frame import Frame


def recorded_frames(camera: Camera, *, ahead: int = SLOTS - 1) -> Iterator[Frame]:
    """Every frame of a started recording, in order, while the next ones are being decoded.

    A frame's image is valid until the next frame is asked for.

    Raises:
        CameraError: the recording cannot be opened, or not be read to its end.
    """
    wait = Readiness()
    while True:
        camera.request(ahead)
        for frame in camera.receive():
            yield frame
            camera.release(frame)
            camera.request(ahead)
        status = camera.status
        if status.state == "failed":
            raise CameraError(status.last_error or f"camera {camera.name} failed")
        if status.state == "ended":
            return
        wait([camera.connection] if camera.connection else [], 0.5)
        camera.tick(time.monotonic())
