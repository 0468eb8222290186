"""Drawing with polygons, shades and glows for the simulated scene, in coordinates of 640x360 whatever the real size."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edge.frame import Image

Color = tuple[int, int, int]
"""Blue, green and red, 0…255."""

_SUBPIXEL_BITS = 4


class Canvas:
    """A picture, and how to draw on it in the coordinates of 640x360."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self._scale = np.array([image.shape[1] / 640, image.shape[0] / 360])

    def polygon(self, points: Sequence[tuple[float, float]], color: Color) -> None:
        """Fill a polygon."""
        scaled = np.rint(np.array(points) * self._scale * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(self.image, [scaled], color, cv2.LINE_AA, _SUBPIXEL_BITS)

    def box(self, left: float, top: float, right: float, bottom: float, color: Color) -> None:
        """Fill an upright rectangle."""
        self.polygon(((left, top), (right, top), (right, bottom), (left, bottom)), color)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, color: Color) -> None:
        """Fill an ellipse."""
        turns = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        self.polygon(list(zip(x + radius_x * np.cos(turns), y + radius_y * np.sin(turns), strict=True)), color)

    def shade(self, points: Sequence[tuple[float, float]], strength: float) -> None:
        """Darken what lies in a polygon, by ``strength`` 0…1."""
        corners = np.array(points) * self._scale
        height, width = self.image.shape[:2]
        left, top = np.clip(np.floor(corners.min(0)), 0, (width, height)).astype(int)
        right, bottom = np.clip(np.ceil(corners.max(0)) + 1, 0, (width, height)).astype(int)
        part = self.image[top:bottom, left:right]
        if part.size:
            mask = np.zeros_like(part)
            moved = np.rint((corners - (left, top)) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
            level = round(255 * strength)
            cv2.fillPoly(mask, [moved], (level, level, level), cv2.LINE_AA, _SUBPIXEL_BITS)
            cv2.subtract(part, cv2.multiply(part, mask, scale=1 / 255), dst=part)

    def shine(self, x: float, y: float, radius: float, color: Color) -> None:
        """Add a round glow; it may reach over the edge."""
        scale_x, scale_y = self._scale
        half_x, half_y = max(1, round(radius * scale_x)), max(1, round(radius * scale_y))
        left, top = round(x * scale_x) - half_x, round(y * scale_y) - half_y
        height, width = self.image.shape[:2]
        from_x, from_y, to_x, to_y = (
            max(left, 0),
            max(top, 0),
            min(left + 2 * half_x, width),
            min(top + 2 * half_y, height),
        )
        if from_x < to_x and from_y < to_y:
            glow = _glow(2 * half_x, 2 * half_y)[from_y - top : to_y - top, from_x - left : to_x - left]
            part = self.image[from_y:to_y, from_x:to_x]
            tinted = cv2.merge([cv2.convertScaleAbs(glow, alpha=level / 255) for level in color])
            cv2.add(part, tinted, dst=part)


def trapezoid(
    x: float, bottom: float, half_bottom: float, top: float, half_top: float
) -> tuple[tuple[float, float], ...]:
    """The corners of an upright trapezoid around ``x``."""
    return (x - half_bottom, bottom), (x - half_top, top), (x + half_top, top), (x + half_bottom, bottom)


def lighter(color: Color, by: int) -> Color:
    """The colour with all its levels raised, or lowered."""
    return as_color(np.array(color) + by)


def dimmed(color: Color, to: float) -> Color:
    """The colour of a light that burns at ``to``, 0…1, of its power."""
    return as_color(np.array(color) * to)


def as_color(levels: npt.NDArray[np.float64] | npt.NDArray[np.int64]) -> Color:
    """Three levels as a colour, clipped."""
    blue, green, red = np.clip(levels, 0, 255).astype(int).tolist()
    return blue, green, red


@functools.lru_cache(maxsize=16)
def _glow(width_px: int, height_px: int) -> Image:
    """A round glow, ``uint8``, brightest in the middle and 0 at the edge."""
    x, y = np.linspace(-1, 1, width_px)[None, :], np.linspace(-1, 1, height_px)[:, None]
    light = np.clip(1 - np.hypot(x, y), 0, 1) ** 2.2
    return np.asarray(255 * light, dtype=np.uint8)
