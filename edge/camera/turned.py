"""A camera that hangs upside down, on its side, or looks into a mirror: its frames, put right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.camera.source import Grab, Source

if TYPE_CHECKING:
    from edge.frame import Image

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def turned(image: Image, rotate_deg: int, *, mirror: bool, out: Image | None = None) -> Image:
    """Turn ``(H, W, 3)`` clockwise by 0, 90, 180 or 270 degrees, then swap left and right if asked.

    Into ``out`` where that has the right shape. Only a quarter turn that is mirrored as well takes two passes.
    """
    if rotate_deg == 180 and mirror:  # noqa: PLR2004  half a turn
        return np.asarray(cv2.flip(image, 0, dst=out), np.uint8)
    if rotate_deg:
        image = np.asarray(cv2.rotate(image, _TURNS[rotate_deg], dst=None if mirror else out), np.uint8)
    return np.asarray(cv2.flip(image, 1, dst=out), np.uint8) if mirror else image


class Turned(Source):
    """Another source's frames, turned."""

    def __init__(self, source: Source, rotate_deg: int, *, mirror: bool) -> None:
        self._source = source
        self._rotate_deg = rotate_deg
        self._mirror = mirror
        self._buffer: Image | None = None
        self.live, self.repeats, self.notes = source.live, source.repeats, source.notes
        self.rate_hz = source.rate_hz

    def grab(self) -> Grab:
        """As in ``Source``."""
        grab = self._source.grab()
        self.position_s, self.damaged = self._source.position_s, self._source.damaged
        return grab

    def retrieve(self, out: Image | None) -> Image | None:
        """As in ``Source``."""
        image = self._source.retrieve(self._buffer)
        if image is None:
            return None
        self._buffer = image  # the next frame is decoded to the same place
        return turned(image, self._rotate_deg, mirror=self._mirror, out=out)

    def settle(self, number: int) -> None:
        """As in ``Source``."""
        self._source.settle(number)

    def close(self) -> None:
        """As in ``Source``."""
        self._source.close()
