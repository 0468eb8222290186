"""Stand-ins that implement the real interfaces; they pass the same contract tests as the real things."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from edge.camera import CameraStatus
from edge.frame import Frame


@dataclass
class FakeCamera:
    """A camera whose frames are put in by the test; the observer cannot tell it from a real one.

    Frames that were not asked for are not delivered, as with a live camera.
    """

    name: str = "yard"
    state: str = "live"
    last_error: str | None = None
    wanted: int = 0
    held: set[int] = field(default_factory=set)
    released: list[int] = field(default_factory=list)
    ticks: list[float] = field(default_factory=list)
    started: bool = False
    closed: bool = False

    def __post_init__(self) -> None:
        self.connection, self._ring_bell = socket.socketpair()
        self._ready: deque[Frame] = deque()
        self._number = 0

    def start(self) -> None:
        self.started = True

    def take_picture(self, clock_s: float, image: np.ndarray | None = None) -> bool:
        """A frame comes; False when nobody had asked for one."""
        number = self._number
        self._number += 1
        if self.wanted <= len(self._ready):  # what has come but was not taken yet is still on order
            return False
        image = np.zeros((8, 8, 3), np.uint8) if image is None else image
        self._ready.append(self.frame(number, clock_s, image))
        self._ring_bell.send(b"!")
        return True

    @staticmethod
    def frame(number: int, clock_s: float, image: np.ndarray) -> Frame:
        return Frame(image, number, captured_at_s=1_700_000_000 + clock_s, clock_s=clock_s)

    def request(self, ahead: int = 1) -> None:
        self.wanted = max(self.wanted, ahead)

    def receive(self) -> list[Frame]:
        self.connection.setblocking(False)  # noqa: FBT003  the standard library wants it so
        with contextlib.suppress(BlockingIOError):
            self.connection.recv(4096)
        frames = list(self._ready)
        self._ready.clear()
        self.wanted -= len(frames)
        self.held.update(frame.number for frame in frames)
        return frames

    def release(self, frame: Frame) -> None:
        self.held.discard(frame.number)
        self.released.append(frame.number)

    def tick(self, now_s: float) -> None:
        self.ticks.append(now_s)

    @property
    def status(self) -> CameraStatus:
        return CameraStatus(self.state, 10.0, self._number, len(self.released), 0, 0, 0, self.last_error, 8, 8)  # type: ignore[arg-type]

    def close(self) -> None:
        self.closed = True
        self.connection.close()
        self._ring_bell.close()
