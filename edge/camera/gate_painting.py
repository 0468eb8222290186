"""The painter of the simulated gate: sky, yard, gate and vehicle, drawn with polygons and then lit.

Coordinates are those of a picture of 640x360, whatever the real size. Everything is painted as at noon; ``_lit`` makes
dusk and night of it, and only then come the things that shine themselves. Colours are BGR.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np

from edge.camera.canvas import Canvas, Color, as_color, dimmed, lighter, trapezoid
from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.frame import Image

_HORIZON = 132.0
_GROUND = 236.0  # where the gate stands
_LEFT, _RIGHT = 214.0, 426.0  # the gateway, between the pillars
_TOP = 128.0  # of the gate
_PILLAR = 30.0

_WOOD: Color = (52, 84, 46)
_STONE: Color = (148, 158, 166)
_PAINTS: tuple[Color, ...] = (
    (228, 230, 232),
    (40, 40, 190),
    (150, 84, 30),
    (60, 60, 64),
    (40, 170, 220),
    (112, 120, 60),
    (176, 176, 170),
)


class Look(Value, frozen=True):
    """What varies from one visit to the next.

    Attributes:
        cloudiness: 0…1.
        clouds_at: how far the clouds have drifted, 0…1 around the sky.
        sun_at: where the sun stands, 0 (left) … 1 (right).
        brightness: the camera's exposure, around 1.
        swing: how far an open gate is open, 0.75…1.
        paint: the vehicle's colour.
        size: the vehicle's size, around 1.
        van: a van, or a car.
        offset: where it stands, -1 (left) … 1 (right).
        lights: whether its headlights are on.
    """

    cloudiness: float
    clouds_at: float
    sun_at: float
    brightness: float
    swing: float
    paint: Color
    size: float
    van: bool
    offset: float
    lights: bool

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Self:
        """Draw one by chance."""
        paint = np.array(_PAINTS[int(rng.integers(len(_PAINTS)))]) + rng.integers(-14, 15, 3)
        return cls(
            cloudiness=float(rng.uniform()),
            clouds_at=float(rng.uniform()),
            sun_at=float(rng.uniform()),
            brightness=float(rng.uniform(0.88, 1.12)),
            swing=float(rng.uniform(0.75, 1.0)),
            paint=as_color(paint),
            size=float(rng.uniform(0.9, 1.08)),
            van=bool(rng.uniform() < 0.45),  # noqa: PLR2004  nearly half are vans
            offset=float(rng.uniform(-1, 1)),
            lights=bool(rng.uniform() < 0.7),  # noqa: PLR2004  most leave them on at night
        )


def painted(state: str, daylight: float, look: Look, width_px: int, height_px: int) -> Image:
    """Paint the scene, ``(height_px, width_px, 3) uint8 BGR``; ``state`` is ``shut``, ``open`` or ``blocked``."""
    yard, is_yard = _yard(width_px, height_px)
    image = _sky(daylight, look, width_px, height_px)
    cv2.copyTo(yard, is_yard, image)
    canvas = Canvas(image)
    sunshine = max(0.0, daylight - 0.25) * (1 - 0.7 * look.cloudiness)
    _shadows(canvas, state, look, sunshine)
    if state == "blocked":
        _vehicle(canvas, look)
    _gate(canvas, opened=0.0 if state == "shut" else look.swing)
    _pillars(canvas)
    canvas.image = _lit(image, daylight, look)
    _lights(canvas, state, daylight, look)
    return canvas.image


def _gate(canvas: Canvas, *, opened: float) -> None:
    """Two leaves of planks, hinged at the pillars; open ones have swung towards the camera."""
    span = (_RIGHT - _LEFT) / 2
    reach = span * (1 - opened) + 16 * opened
    drop = 30 * opened  # the free edge has come nearer: lower, and taller
    for hinge, inward in ((_LEFT, 1), (_RIGHT, -1)):

        def at(along: float, up: float, hinge: float = hinge, inward: int = inward) -> tuple[float, float]:
            top = _TOP + 10 - 10 * along - 0.55 * drop * along  # the gate's top rises to the middle
            bottom = _GROUND + drop * along
            return hinge + inward * reach * along, bottom + (top - bottom) * up

        canvas.polygon((at(0, 0), at(0, 1), at(1, 1), at(1, 0)), _WOOD)
        planks = 9
        for plank in range(planks):
            left, right = plank / planks, (plank + 0.86) / planks
            light = 6 * (plank * 7 % 5 - 2)
            canvas.polygon((at(left, 0.02), at(left, 1), at(right, 1), at(right, 0.02)), lighter(_WOOD, 14 + light))
        for low, high in ((0.14, 0.24), (0.74, 0.84)):
            canvas.polygon((at(0, low), at(0, high), at(1, high), at(1, low)), lighter(_WOOD, -22))
        canvas.polygon((at(0, 0.2), at(0, 0.28), at(1, 0.8), at(1, 0.72)), lighter(_WOOD, -22))
        canvas.polygon((at(0.86, 0.46), at(0.86, 0.54), at(0.97, 0.54), at(0.97, 0.46)), (70, 74, 78))


def _pillars(canvas: Canvas) -> None:
    for left in (_LEFT - _PILLAR, _RIGHT):
        right, top, bottom = left + _PILLAR, _TOP - 18, _GROUND + 10
        canvas.box(left, top, right, bottom, _STONE)
        canvas.box(right - 8, top, right, bottom, lighter(_STONE, -34))
        for row in range(1, 7):
            y = top + (bottom - top) * row / 7
            canvas.box(left, y - 0.8, right, y + 0.8, lighter(_STONE, -48))
        canvas.box(left - 4, top - 9, right + 4, top, lighter(_STONE, 18))
        canvas.box(left - 4, top - 2, right + 4, top, lighter(_STONE, -40))
        canvas.box(left + 10, top - 25, right - 10, top - 9, (186, 206, 214))
        canvas.polygon(((left + 7, top - 25), (left + 15, top - 33), (right - 7, top - 25)), (50, 52, 56))


def _vehicle(canvas: Canvas, look: Look) -> None:
    """A car or van, seen from the front, in the gateway."""
    x, unit, base = _vehicle_at(look)
    roof = base - (1.66 if look.van else 1.12) * unit
    waist = base - (0.98 if look.van else 0.72) * unit
    half, roof_half = 0.78 * unit, (0.70 if look.van else 0.54) * unit
    paint, dark = look.paint, (34, 32, 30)
    canvas.shade(trapezoid(x, base + 12, half * 1.25, base - 8, half * 1.1), 0.6)
    for side in (-1, 1):
        wheel = x + side * (half - 0.13 * unit)
        canvas.box(wheel - 0.13 * unit, base - 0.3 * unit, wheel + 0.13 * unit, base + 4, dark)
        mirror = x + side * (half + 0.09 * unit)
        canvas.ellipse(mirror, waist - 0.04 * unit, 0.1 * unit, 0.07 * unit, lighter(paint, -40))
    canvas.polygon(trapezoid(x, waist, half, roof, roof_half), lighter(paint, -12))
    frame = roof + 0.09 * unit
    canvas.polygon(trapezoid(x, waist - 2, half * 0.9, frame, roof_half * 0.9), (92, 78, 62))
    glint = ((x - half * 0.5, waist - 2), (x - roof_half * 0.3, frame), (x, frame), (x - half * 0.1, waist - 2))
    canvas.polygon(glint, (132, 116, 98))
    canvas.polygon(trapezoid(x, base - 0.1 * unit, half * 1.05, waist, half), paint)
    canvas.box(x - half, waist, x + half, waist + 0.06 * unit, lighter(paint, 26))
    canvas.box(x - 0.4 * unit, base - 0.5 * unit, x + 0.4 * unit, base - 0.32 * unit, dark)
    canvas.box(x - half * 1.06, base - 0.27 * unit, x + half * 1.06, base - 0.07 * unit, lighter(paint, -50))
    canvas.box(x - 0.2 * unit, base - 0.24 * unit, x + 0.2 * unit, base - 0.13 * unit, (225, 230, 230))
    for side in (-1, 1):
        canvas.ellipse(x + side * 0.6 * unit, base - 0.44 * unit, 0.13 * unit, 0.09 * unit, (236, 240, 240))


def _vehicle_at(look: Look) -> tuple[float, float, float]:
    """Where it stands (x), its unit (a little more than half its width) and the height of the ground under it."""
    return (_LEFT + _RIGHT) / 2 + 16 * look.offset, 92 * look.size, _GROUND + 12 + 6 * look.size


def _shadows(canvas: Canvas, state: str, look: Look, sunshine: float) -> None:
    """Pillars, and what stands between them, throw shadows towards the camera when the sun is out."""
    strength = min(0.55, 0.7 * sunshine)
    if strength < 0.05:  # noqa: PLR2004  nothing to be seen
        return
    slant, length = 130 * (0.5 - look.sun_at), 46.0
    spans = [(_LEFT - _PILLAR, _LEFT), (_RIGHT, _RIGHT + _PILLAR)]
    if state == "shut":
        spans = [(_LEFT - _PILLAR, _RIGHT + _PILLAR)]
    for left, right in spans:
        y = _GROUND + 8
        canvas.shade(((left, y), (right, y), (right + slant, y + length), (left + slant, y + length)), strength)


def _lights(canvas: Canvas, state: str, daylight: float, look: Look) -> None:
    """Lamps on the pillars by night, the neighbours' windows, and headlights."""
    dark = max(0.0, 1 - daylight / 0.45)
    if dark == 0:
        return
    for x in (_LEFT - _PILLAR / 2, _RIGHT + _PILLAR / 2):
        canvas.shine(x, _TOP - 35, 26, dimmed((190, 225, 250), dark))
        canvas.shine(x, _TOP + 10, 130, dimmed((48, 84, 108), dark))
        canvas.shine(x, _GROUND + 34, 120, dimmed((30, 52, 66), dark))
    for x, y in ((86, 112), (106, 112), (560, 108)):
        canvas.shine(x, y, 9, dimmed((70, 150, 190), dark))
    if state == "blocked" and look.lights:
        x, unit, base = _vehicle_at(look)
        for side in (-1, 1):
            canvas.shine(x + side * 0.6 * unit, base - 0.44 * unit, 46, dimmed((225, 240, 250), dark))
            canvas.shine(x + side * 0.75 * unit, base + 56, 90, dimmed((60, 68, 72), dark))


def _lit(image: Image, daylight: float, look: Look) -> Image:
    """Noon becomes dusk becomes night: less light, warm when the sun is low, blue when it is gone; and a darker rim."""
    height, width = image.shape[:2]
    levels = np.array([0.0, 0.25, 0.5, 1.0])
    gains = [
        np.interp(daylight, levels, channel)
        for channel in ((0.34, 0.47, 0.74, 1.0), (0.25, 0.45, 0.84, 1.0), (0.20, 0.52, 0.95, 1.0))
    ]
    table = np.arange(256)[:, None] * np.array(gains) * look.brightness
    lit = cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8).reshape(256, 1, 3))
    return np.asarray(cv2.multiply(lit, _rim(width, height), scale=1 / 255), dtype=np.uint8)


def _sky(daylight: float, look: Look, width_px: int, height_px: int) -> Image:
    """A whole picture of sky, as at noon: what the yard leaves of it is seen."""
    rows = max(1, round(height_px * (_HORIZON + 8) / 360))
    low_sun = max(0.0, 1 - abs(daylight - 0.35) / 0.35)
    top = np.array([226, 164, 96]) * (1 - 0.25 * low_sun)
    bottom = np.array([238, 222, 206]) * (1 - low_sun) + np.array([150, 190, 245]) * low_sun
    share = np.linspace(0, 1, rows)[:, None, None]
    column = np.clip(top * (1 - share) + bottom * share, 0, 255).astype(np.uint8)
    image = np.zeros((height_px, width_px, 3), np.uint8)
    image[:rows] = column
    clouds = _clouds(width_px, rows)
    start = int(look.clouds_at * width_px) % width_px
    drifted = np.ascontiguousarray(clouds[:, start : start + width_px])
    sky = image[:rows]
    missing = cv2.subtract(np.full_like(sky, 238), sky)  # what the sky lacks to be white
    cover = (0.2 + 0.75 * look.cloudiness) / 255
    cv2.add(sky, cv2.multiply(missing, cv2.merge([drifted] * 3), scale=cover), dst=sky)
    return image


@functools.lru_cache(maxsize=2)
def _yard(width_px: int, height_px: int) -> tuple[Image, Image]:
    """All that never changes, and a mask of where it is: houses, trees, street, hedge, lawn, drive."""
    rng = np.random.default_rng(7)
    canvas = Canvas(np.full((height_px, width_px, 3), 215, np.uint8))  # edges blend with the sky's colour
    mask = Canvas(np.zeros((height_px, width_px, 3), np.uint8))

    def both(points: Sequence[tuple[float, float]], color: Color) -> None:
        canvas.polygon(points, color)
        mask.polygon(points, (255, 255, 255))

    hills = [(x, 104 + 12 * np.sin(x / 83) + 6 * np.sin(x / 31)) for x in range(-10, 661, 10)]
    both([*hills, (660, 360), (-10, 360)], (150, 148, 118))
    for left, right, roof, wall in (
        (62, 132, 82, (190, 204, 214)),
        (526, 596, 78, (170, 190, 216)),
        (280, 338, 92, (196, 200, 196)),
    ):
        both(((left, roof + 14), (right, roof + 14), (right, 150), (left, 150)), wall)
        both(((left - 6, roof + 16), ((left + right) / 2, roof - 14), (right + 6, roof + 16)), (70, 84, 134))
    for x, y in ((80, 106), (100, 106), (554, 102), (298, 116)):
        canvas.box(x, y, x + 11, y + 12, (92, 84, 76))
    for x, y, size in ((24, 104, 34), (168, 110, 26), (470, 112, 28), (626, 100, 38), (400, 122, 14)):
        for _ in range(26):
            dx, dy = rng.normal(0, 0.42, 2) * size
            light = int(rng.integers(-20, 24))
            turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            leaf = [(x + dx + 0.4 * size * np.cos(turn), y + dy + 0.4 * size * np.sin(turn)) for turn in turns]
            both(leaf, lighter((58, 104, 66), light))
    both(((-5, 148), (645, 148), (645, 370), (-5, 370)), (120, 168, 130))
    canvas.box(-5, 150, 645, 188, (112, 110, 108))  # the street
    for dash in range(0, 640, 56):
        canvas.box(dash, 167, dash + 26, 169.5, (220, 222, 222))
    canvas.box(-5, 188, 645, 194, (176, 178, 180))
    canvas.box(-5, 194, 645, 240, (104, 156, 116))
    canvas.box(-5, 236, 645, 370, (72, 142, 96))  # the lawn
    drive = ((_LEFT + 4, 192), (_RIGHT - 4, 192), (_RIGHT + 122, 370), (_LEFT - 122, 370))
    canvas.polygon(drive, (154, 170, 182))
    canvas.polygon(((_LEFT + 4, 192), (_LEFT - 2, 192), (_LEFT - 134, 370), (_LEFT - 122, 370)), (118, 130, 138))
    canvas.polygon(((_RIGHT - 4, 192), (_RIGHT + 2, 192), (_RIGHT + 134, 370), (_RIGHT + 122, 370)), (118, 130, 138))
    for start, end in ((-5, _LEFT - _PILLAR + 2), (_RIGHT + _PILLAR - 2, 645)):  # the hedge
        canvas.box(start, 146, end, 242, (40, 80, 48))
        for _ in range(420):
            across, down, light = rng.uniform(start, end), rng.uniform(144, 240), int(rng.integers(-16, 26))
            canvas.ellipse(across, down, 5, 3.6, lighter((44, 88, 52), light - int((down - 144) / 8)))
    grain = rng.normal(0, 7, (height_px, width_px, 1))
    coarse = cv2.resize(rng.normal(0, 6, (45, 80)), (width_px, height_px))[..., None]
    textured = np.clip(canvas.image + grain + coarse, 0, 255).astype(np.uint8)
    return textured, np.where(mask.image[..., 0] > 127, 255, 0).astype(np.uint8)  # noqa: PLR2004  half covered


@functools.lru_cache(maxsize=2)
def _clouds(width_px: int, rows: int) -> Image:
    """Two sky widths of clouds, ``(rows, 2 * width_px) uint8``, that join at their ends."""
    rng = np.random.default_rng(11)
    sky = np.zeros((rows, width_px), np.float64)
    for cells, weight in ((5, 1.0), (11, 0.6), (23, 0.35), (47, 0.2)):
        field = rng.normal(0, weight, (max(2, cells // 2), cells))
        field = np.concatenate([field, field[:, :1]], axis=1)
        sky += cv2.resize(field, (width_px, rows), interpolation=cv2.INTER_CUBIC)
    cover = np.clip((sky - 0.1) * 200, 0, 255).astype(np.uint8)
    return np.concatenate([cover, cover], axis=1)


@functools.lru_cache(maxsize=2)
def _rim(width_px: int, height_px: int) -> Image:
    """The lens' fall-off, ``(height_px, width_px, 3) uint8``: 255 in the middle."""
    x, y = np.linspace(-1, 1, width_px)[None, :], np.linspace(-1, 1, height_px)[:, None]
    rim = 255 * (1 - 0.22 * np.clip((x**2 + y**2) / 2, 0, 1) ** 1.5)
    return np.repeat(rim[..., None], 3, axis=2).astype(np.uint8)
