"""``scene:gate``: a simulated camera for trying Sightpost out without one. Nothing in it is real.

A fixed camera looks over a yard at a gate that is ``shut``, ``open``, or ``blocked`` by a vehicle standing in it, day
and night. Light, clouds, shadows, the vehicle, sensor noise and a slightly shaking mount vary, so that a model has
something to learn and something to get wrong; how well it does here says nothing about a real yard.
"""

from __future__ import annotations

import bisect
import math
from typing import TYPE_CHECKING, Literal, get_args

import cv2
import numpy as np
from msgspec.structs import replace

from edge.camera.gate_painting import Look, painted
from edge.errors import PictureError

if TYPE_CHECKING:
    from pathlib import Path

    from edge.frame import Image

GateState = Literal["shut", "open", "blocked"]
STATES: tuple[GateState, ...] = get_args(GateState)
_NEXT: dict[GateState, tuple[GateState, ...]] = {"shut": ("open",), "open": ("blocked", "shut"), "blocked": ("open",)}

STORY_SEED = 9
"""The story of ``scene:gate``: within 25 seconds all three states come."""
_DAY_S = 48.0
"""A simulated day; short, so that a demonstration shows day and night."""
_VISITS = 25
_VISIT_S = (4.0, 8.0)
_SHAKE_PX = 0.7


def render(
    state: GateState,
    *,
    daylight: float,
    rng: np.random.Generator,
    width_px: int = 640,
    height_px: int = 360,
) -> Image:
    """Render one picture of the gate.

    Args:
        state: what the gate does.
        daylight: 0 is night, 1 noon; between them the sun stands low.
        rng: draws everything that varies; the same generator state gives the same picture.
        width_px: of the picture.
        height_px: of the picture.

    Returns:
        ``(height_px, width_px, 3) uint8 BGR``.
    """
    look = Look.drawn(rng)
    return _exposed(painted(state, daylight, look, width_px, height_px), daylight, rng, None)


class GateScene:
    """A story that repeats: the gate opens, vehicles come and go, days pass. Any frame of it can be asked for.

    Args:
        seed: another seed is another story.
        rate_hz: frames per second of the story.
        width_px: of the frames.
        height_px: of the frames.
    """

    def __init__(self, seed: int, rate_hz: float, *, width_px: int = 640, height_px: int = 360) -> None:
        self.rate_hz = rate_hz
        self._seed = seed
        self._size_px = (width_px, height_px)
        rng = np.random.default_rng(seed)
        self._states: list[GateState] = ["shut"]
        while len(self._states) < _VISITS or self._states[-1] != "open":  # the story begins again with "shut"
            choices = _NEXT[self._states[-1]]
            self._states.append(choices[int(rng.integers(len(choices)))])
        self._looks = [Look.drawn(rng) for _ in self._states]
        self._ends_s = list(np.cumsum(rng.uniform(*_VISIT_S, size=len(self._states))))

    def state_at(self, number: int) -> GateState:
        """The truth about frame ``number``."""
        return self._states[self._visit_at(number)]

    def daylight_at(self, number: int) -> float:
        """The light of frame ``number``, as in ``render``: the story begins in the morning."""
        return min(max(0.5 + 0.8 * math.sin(math.tau * (number / self.rate_hz / _DAY_S + 0.08)), 0.0), 1.0)

    def frame(self, number: int, *, out: Image | None = None) -> Image:
        """Render frame ``number``.

        Args:
            number: from 0.
            out: written to, and returned, where it is ``(height_px, width_px, 3) uint8``.

        Returns:
            ``(height_px, width_px, 3) uint8 BGR``.
        """
        time_s = number / self.rate_hz
        look = self._looks[self._visit_at(number)]
        # Clouds and sun move on whatever the gate does.
        look = replace(look, clouds_at=0.01 * time_s % 1.0, sun_at=time_s / _DAY_S * 2 % 1.0)
        daylight = self.daylight_at(number)
        image = painted(self.state_at(number), daylight, look, *self._size_px)
        return _exposed(image, daylight, np.random.default_rng((self._seed, number)), out)

    def _visit_at(self, number: int) -> int:
        time_s = number / self.rate_hz % self._ends_s[-1]
        return min(bisect.bisect_right(self._ends_s, time_s), len(self._states) - 1)


def write_pictures(folder: Path, per_state: int, seed: int) -> None:
    """Render ``per_state`` training pictures of each state to ``folder/<state>/<number>.jpg``, from night to noon.

    Raises:
        PictureError: the folder cannot be written.
    """
    for index, state in enumerate(STATES):
        for number in range(per_state):
            rng = np.random.default_rng((seed, index, number))
            image = render(state, daylight=float(rng.uniform()), rng=rng)
            path = folder / state / f"{number:04d}.jpg"
            encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encoded.tobytes())
            except OSError as error:
                raise PictureError(f"{path}: the picture cannot be written: {error.strerror or error}") from error


def _exposed(image: Image, daylight: float, rng: np.random.Generator, out: Image | None) -> Image:
    """What the camera makes of it: a mount that shakes a little, and noise that grows as light goes."""
    height_px, width_px = image.shape[:2]
    shift_x, shift_y = rng.normal(0, _SHAKE_PX, 2)
    shake = np.array([[1, 0, shift_x], [0, 1, shift_y]])
    image = np.asarray(cv2.warpAffine(image, shake, (width_px, height_px), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    noise = cv2.LUT(rng.integers(0, 256, image.shape, dtype=np.uint8), _noise_levels(2.0 + 4.0 * (1 - daylight)))
    if out is None or out.shape != image.shape:
        out = np.empty_like(image)
    cv2.addWeighted(image, 1.0, noise, 1.0, -128.0, dst=out)
    return out


def _noise_levels(sigma: float) -> Image:
    """Normal noise around 128 for each value of a uniform byte: its quantiles, by a logistic approximation."""
    share = (np.arange(256) + 0.5) / 256
    return np.clip(np.rint(128 + sigma * np.log(share / (1 - share)) / 1.702), 0, 255).astype(np.uint8)
