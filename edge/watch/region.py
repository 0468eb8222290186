"""The part of a camera's picture that a watch looks at: a box or a polygon, in fractions of the frame or in pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.errors import ConfigError
from edge.preprocess import LETTERBOX_GREY, crop_roi
from edge.value import Value

if TYPE_CHECKING:
    from edge.config import WatchConfig
    from edge.frame import Image

OUTSIDE_GREY = LETTERBOX_GREY
"""What a polygon's outside is filled with: the grey of letterboxes, so that there is one neutral colour."""

Point = tuple[float, float]
Box = tuple[float, float, float, float]


class _Cut(Value, frozen=True):
    """A region in frames of one size.

    Attributes:
        box: left, top, right, bottom as fractions of the frame.
        mask: ``(h, w) uint8`` of the box, 255 inside the polygon; ``None`` where all of it is.
        canvas: ``(h, w, 3) uint8``: grey outside the polygon, for ever.
    """

    box: Box
    mask: Image | None = None
    canvas: Image | None = None


class Region:
    """A watch's region. One thread at a time.

    Args:
        name: of the watch, for messages.
        box: left, top, right, bottom.
        polygon: its corners, or none where the whole box is meant.
        in_pixels: what the numbers are; otherwise fractions of the frame.
    """

    def __init__(self, name: str, box: Box, polygon: tuple[Point, ...] = (), *, in_pixels: bool = False) -> None:
        self._name = name
        self._box = box
        self._polygon = polygon
        self._in_pixels = in_pixels
        self._cuts: dict[tuple[int, int], _Cut] = {}

    @classmethod
    def of(cls, name: str, config: WatchConfig) -> Region:
        """Make the region that a watch's configuration describes."""
        polygon = config.polygon or config.polygon_px
        in_pixels = bool(config.roi_px or config.polygon_px)
        if polygon:
            xs, ys = [x for x, _ in polygon], [y for _, y in polygon]
            return cls(name, (min(xs), min(ys), max(xs), max(ys)), tuple(polygon), in_pixels=in_pixels)
        return cls(name, config.roi_px or config.roi, in_pixels=in_pixels)

    @property
    def is_reused(self) -> bool:
        """Whether the picture that ``cut`` gives is overwritten by the next."""
        return bool(self._polygon)

    def cut(self, image: Image) -> Image:
        """The region of a frame, ``(h, w, 3) uint8 BGR``: a view, or of a polygon its box with grey around it.

        A polygon's picture is overwritten by the next.

        Raises:
            ConfigError: the region, given in pixels, does not fit into frames of this size.
        """
        cut = self._at(image)
        part = crop_roi(image, cut.box)
        if cut.mask is None or cut.canvas is None:
            return part
        cv2.copyTo(part, cut.mask, cut.canvas)
        return cut.canvas

    def corners_px(self, image: Image) -> list[tuple[int, int]]:
        """Its corners in a frame, to be drawn.

        Raises:
            ConfigError: as ``cut``.
        """
        height, width = image.shape[:2]
        left, top, right, bottom = self._at(image).box
        if not self._polygon:
            return [(round(x * width), round(y * height)) for x, y in
                    ((left, top), (right, top), (right, bottom), (left, bottom))]  # fmt: skip
        return [(round(x), round(y)) for x, y in self._polygon_px(width, height)]

    def coverage(self, image: Image) -> float:
        """How much of its box a polygon covers, 0…1; 1 for a box."""
        mask = self._at(image).mask
        return 1.0 if mask is None else max(float(np.count_nonzero(mask)) / mask.size, 1.0 / mask.size)

    def _at(self, image: Image) -> _Cut:
        height, width = image.shape[:2]
        cut = self._cuts.get((width, height))
        if cut is None:
            cut = self._fitted(image, width, height)
            self._cuts = {(width, height): cut}  # a camera that changes its size does so for good
        return cut

    def _fitted(self, image: Image, width: int, height: int) -> _Cut:
        left, top, right, bottom = self._box
        if self._in_pixels:
            if right > width or bottom > height:
                raise ConfigError(
                    f"watches.{self._name}: its region reaches to {math.ceil(right)}x{math.ceil(bottom)} pixels, "
                    f"but the camera's frames have {width}x{height}; correct it, or give fractions, which fit any size"
                )
            left, top, right, bottom = left / width, top / height, right / width, bottom / height
        box = (left, top, right, bottom)
        if not self._polygon:
            return _Cut(box)
        part = crop_roi(image, box)
        corners = np.array(self._polygon_px(width, height)) - (round(left * width), round(top * height))
        mask = np.zeros(part.shape[:2], np.uint8)
        inside = np.clip(np.rint(corners), 0, np.array(mask.shape[::-1]) - 1)  # never empty, however small the frame
        cv2.fillPoly(mask, [inside.astype(np.int32)], 255)
        return _Cut(box, mask, np.full_like(part, OUTSIDE_GREY))

    def _polygon_px(self, width: int, height: int) -> list[Point]:
        if self._in_pixels:
            return list(self._polygon)
        return [(x * width, y * height) for x, y in self._polygon]
