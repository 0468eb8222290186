"""What a frame says of the camera itself: is there light, is there anything to see, is it a new picture."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.camera.protocol import Sight
from edge.preprocess import resize

if TYPE_CHECKING:
    from edge.frame import Image

_WIDTH_PX, _HEIGHT_PX = 64, 36
"""So small that a sensor's noise averages out, and what a lens sees does not."""
_LEAST_CONTRAST = 20.0
_SAMPLED = np.s_[4::8, 4::8]
"""Noise is everywhere: a frame that is the same here is the same."""


def sight_of(image: Image, *, repeats: bool) -> Sight:
    """Measure a frame, ``(H, W, 3) uint8 BGR``; about 2 ms of a desktop's core at 1080p, 1 ms at 720p.

    Args:
        image: the frame.
        repeats: the source may well give the same picture twice; it then gets no fingerprint.
    """
    grey = cv2.cvtColor(resize(image, 2 * _WIDTH_PX, 2 * _HEIGHT_PX), cv2.COLOR_BGR2GRAY).astype(np.float32)
    small = cv2.resize(grey, (_WIDTH_PX, _HEIGHT_PX), interpolation=cv2.INTER_AREA)
    texture = np.abs(cv2.Laplacian(small, cv2.CV_32F))[1:-1, 1:-1] / 4
    # What noise and rounding leave in a picture of one colour would be sharp beside the little contrast that it has.
    clarity = np.percentile(texture, 95) / max(float(small.std()), _LEAST_CONTRAST)
    fingerprint = None if repeats else zlib.crc32(image[_SAMPLED].tobytes())
    return Sight(float(np.percentile(small, 99)), float(clarity), fingerprint)
