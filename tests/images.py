"""Pictures to test with, and how near two of them are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from edge.frame import Image


def noise(height: int, width: int, channels: int = 3) -> Image:
    return np.random.default_rng(5).integers(0, 256, (height, width, channels), dtype=np.uint8)


def smooth(height: int, width: int) -> Image:
    """A picture with much in it that survives JPEG."""
    return cv2.GaussianBlur(noise(height, width), (0, 0), 3)


def psnr_db(a: Image, b: Image) -> float:
    difference = float(np.mean((a.astype(np.float64) - b) ** 2))
    return 10 * math.log10(255**2 / difference) if difference else math.inf
