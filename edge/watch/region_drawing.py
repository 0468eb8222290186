"""Pictures that show a person what watches look at, and what counts there as motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.value import Mutable
from edge.watch.motion import changed_area, difference, thumbnail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.config import MotionConfig
    from edge.frame import Image
    from edge.watch.region import Region

_COLORS = ((60, 180, 255), (80, 220, 80), (255, 160, 60), (200, 90, 255), (80, 80, 255), (230, 230, 60))
"""BGR, one after the other."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WARM = cv2.COLORMAP_HOT


def draw_regions(image: Image, regions: Sequence[tuple[str, Region]]) -> Image:
    """Outline the regions in a copy of a frame, numbered from 1 and named; ``(H, W, 3) uint8 BGR``.

    Raises:
        ConfigError: a region does not fit into the frame.
    """
    drawn = image.copy()
    scale = max(0.4, image.shape[0] / 900)
    for number, (name, region) in enumerate(regions, 1):
        color = _COLORS[(number - 1) % len(_COLORS)]
        corners = np.array(region.corners_px(image), np.int32)
        cv2.polylines(drawn, [corners], isClosed=True, color=(0, 0, 0), thickness=round(scale * 4) + 1)
        cv2.polylines(drawn, [corners], isClosed=True, color=color, thickness=max(1, round(scale * 2)))
        _write(drawn, f"{number} {name}", corners.min(axis=0), scale, color)
    return drawn


class Heat(Mutable):
    """How much a region has differed from its first picture, cell by cell, at most."""

    region: Region
    config: MotionConfig
    reference: Image | None = None
    levels: Image | None = None
    area: float = 0.0

    def add(self, image: Image) -> None:
        """Take in a frame."""
        cells = thumbnail(self.region.cut(image))
        if self.reference is None or self.levels is None:
            self.reference, self.levels = cells, np.zeros_like(cells)
        differs = difference(cells, self.reference)
        self.levels = np.maximum(self.levels, differs)
        self.area = max(self.area, changed_area(differs, self.config.threshold, self.region.coverage(image)))

    @property
    def opens(self) -> bool:
        """Whether the gate would have opened."""
        return self.area >= self.config.area

    def paint(self, image: Image) -> None:
        """Paint the region of a frame: black where nothing differed, red to white the more, outlined where it counts.

        The threshold lies in the middle of the scale.
        """
        if self.levels is None:
            return
        (left, top), (right, bottom) = np.min(corners := np.array(self.region.corners_px(image)), 0), np.max(corners, 0)
        size = (max(1, int(right - left)), max(1, int(bottom - top)))
        share = np.clip(self.levels.astype(np.float32) * (128 / (self.config.threshold + 1)), 0, 255).astype(np.uint8)
        heat = cv2.applyColorMap(cv2.resize(share, size, interpolation=cv2.INTER_NEAREST), _WARM)
        part = image[top : top + size[1], left : left + size[0]]
        heat = heat[: part.shape[0], : part.shape[1]]
        cv2.addWeighted(part, 0.45, heat, 0.55, 0, dst=part)
        moved = (self.levels > self.config.threshold).astype(np.uint8)
        cells = cv2.resize(moved, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(cells, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(part, outlines, -1, (255, 255, 0), 1)


def _write(image: Image, text: str, corner: Image, scale: float, color: tuple[int, int, int]) -> None:
    """Write dark on a ground of the region's colour, inside the frame."""
    thickness = max(1, round(scale * 1.5))
    (width, height), below = cv2.getTextSize(text, _FONT, scale, thickness)
    left = int(min(max(0, corner[0]), max(0, image.shape[1] - width - 4)))
    bottom = int(max(corner[1], height + below + 4))
    cv2.rectangle(image, (left, bottom - height - below - 4), (left + width + 4, bottom), color, cv2.FILLED)
    cv2.putText(image, text, (left + 2, bottom - below - 1), _FONT, scale, (0, 0, 0), thickness, cv2.LINE_AA)
