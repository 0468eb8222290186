"""Does anything move in a region? A cheap gate in front of the model: a small grey picture against the one before."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from edge.config import MotionConfig
    from edge.frame import Image

CELLS_PX = 64
"""Longer side of the small picture, in cells."""


def thumbnail(image: Image) -> Image:
    """A region small, grey and without its noise: ``(h, w) uint8``, the longer side ``CELLS_PX`` cells.

    Args:
        image: ``(H, W, 3) uint8 BGR``.
    """
    height, width = image.shape[:2]
    scale = min(1.0, 2 * CELLS_PX / max(height, width))
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    # Linear takes four pixels of each spot whatever the size of the region; halving averages sixteen of them.
    small = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(grey, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def difference(cells: Image, before: Image) -> Image:
    """By how many grey levels each cell differs, ``(h, w) uint8``."""
    return np.asarray(cv2.absdiff(cells, before), dtype=np.uint8)


def changed_area(levels: Image, threshold: int, coverage: float = 1.0) -> float:
    """Which part of a region differs by more than ``threshold`` levels, 0…1.

    Args:
        levels: as ``difference`` gives them.
        threshold: in grey levels.
        coverage: how much of the cells the region covers, 0…1; less than 1 for a polygon.
    """
    return float(np.count_nonzero(levels > threshold)) / (levels.size * coverage)


class MotionGate:
    """Opens when a region differs from what was last looked at, and stays open for a while. One thread at a time."""

    def __init__(self, config: MotionConfig, settle_s: float) -> None:
        """Make a gate that stays open for ``keep_s``, and ``settle_s`` more, for a mean of scores to come to rest."""
        self._threshold = config.threshold
        self._area = config.area
        self._keep_s = config.keep_s + settle_s
        self._reference: Image | None = None
        self._open_until_s = -math.inf

    def lets_through(self, image: Image, clock_s: float, coverage: float = 1.0, *, wanted: bool = False) -> bool:
        """Whether to look at this picture of the region, taken at ``clock_s``; it is if it is ``wanted`` anyway."""
        cells = thumbnail(image)
        if self._reference is None or self._reference.shape != cells.shape:
            moved = True
        else:
            moved = changed_area(difference(cells, self._reference), self._threshold, coverage) >= self._area
        if moved:
            self._open_until_s = clock_s + self._keep_s
        if moved or wanted or clock_s <= self._open_until_s:
            self._reference = cells
            return True
        return False
