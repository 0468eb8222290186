"""Changed copies of a picture, as the same camera might have taken it: other light, colour, noise, a nudge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from msgspec.structs import replace

from edge.preprocess import prepare

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.frame import Image
    from edge.model_card import InputSpec
    from trainer.recipe import AugmentRecipe

FREE_CROP = 0.5
"""The smallest part of a free photograph's area that a view shows: the thing must still be in it."""
FREE_TURN_DEG = 30.0
"""How far a free photograph is turned: nobody holds a camera straight, and things lie about."""
FIXED_CAMERA = 0.3
"""Mean correlation above which pictures are framed alike. Of the sets that this was chosen on, three scenes lie at
0.48, 0.87 and 0.92, traffic lights cut out of streets at 0.37, and photographs of things at 0.04, 0.07 and 0.16."""
_THUMBNAIL_PX = 16
_ASPECT = 0.25  # largest logarithm of a crop's change of aspect: 4:3 becomes 1:1 or 16:9
_SATURATION = 2.0  # colours fade and glow by this many times what their temperature moves
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, for RGB
_UNIFORM_DEVIATION = 73.9  # of the bytes 0…255, all alike likely: √((256² - 1) / 12)


@dataclass(frozen=True, slots=True)
class Framing:
    """What the pictures of a data set have in common: ``correlation`` 1 for ever the same scene, about 0 for none."""

    correlation: float

    @property
    def is_fixed(self) -> bool:
        """Whether one camera that never moved took them."""
        return self.correlation > FIXED_CAMERA

    def settle(self, recipe: AugmentRecipe) -> AugmentRecipe:
        """The recipe with its ``framing``, ``flip``, ``crop`` and ``turn_deg`` decided."""
        is_fixed = self.is_fixed if recipe.framing == "auto" else recipe.framing == "fixed"
        flip = (not is_fixed) if recipe.flip is None else recipe.flip
        crop = (1.0 if is_fixed else FREE_CROP) if recipe.crop is None else recipe.crop
        turn_deg = (0.0 if is_fixed else FREE_TURN_DEG) if recipe.turn_deg is None else recipe.turn_deg
        framing = "fixed" if is_fixed else "free"
        return replace(recipe, framing=framing, flip=flip, crop=crop, turn_deg=turn_deg)


def measure_framing(images: Iterable[Image]) -> Framing:
    """Compare thumbnails, ``(H, W, 3) uint8 BGR`` each: a fixed camera's background stays where it is."""
    rows = []
    for image in images:
        thumbnail = cv2.resize(image, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(thumbnail, cv2.COLOR_BGR2GRAY).astype(np.float64).ravel()
        rows.append((grey - grey.mean()) / max(1e-6, float(grey.std())))
    count = len(rows)
    if count < 2:  # noqa: PLR2004  a pair is the least to compare
        return Framing(0.0)
    correlations = np.stack(rows) @ np.stack(rows).T / rows[0].size
    return Framing(float((correlations.sum() - count) / (count * (count - 1))))


def augmented(image: Image, spec: InputSpec, recipe: AugmentRecipe, rng: np.random.Generator) -> Image:
    """One random view of a picture, prepared for the model.

    Args:
        image: ``(H, W, 3) uint8 BGR``.
        spec: with its size set; colours come out in its order.
        recipe: how far to go, its framing settled; what is not decided is left alone.
        rng: the only source of randomness.

    Returns:
        ``(height_px, width_px, 3) uint8``.
    """
    part = _part(recipe, rng)
    if recipe.turn_deg:
        picture = prepare(_turned(image, part, rng.uniform(-recipe.turn_deg, recipe.turn_deg)), spec)
    else:
        picture = prepare(image, spec, roi=part)
    if recipe.flip and rng.random() < 0.5:  # noqa: PLR2004  a fair coin
        picture = np.ascontiguousarray(picture[:, ::-1])
    picture = _recolored(picture, recipe, rng)
    sigma = rng.uniform(0, recipe.blur)
    if sigma > 0.3:  # noqa: PLR2004  less changes nothing
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.uint8)
    if recipe.noise:
        strength = rng.uniform(0, recipe.noise) / _UNIFORM_DEVIATION
        grain = np.frombuffer(rng.bytes(picture.size), dtype=np.uint8).reshape(picture.shape)
        noisy = picture + (grain.astype(np.float32) - np.float32(127.5)) * np.float32(strength)
        picture = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return picture


def _part(recipe: AugmentRecipe, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Where to look: a nudge of the edges, inside a random crop."""
    area, aspect = rng.uniform(recipe.crop or 1.0, 1), np.exp(rng.uniform(-_ASPECT, _ASPECT))
    is_cropped = recipe.crop is not None and recipe.crop < 1
    width = min(1.0, float(np.sqrt(area * aspect))) if is_cropped else 1.0
    height = min(1.0, float(np.sqrt(area / aspect))) if is_cropped else 1.0
    left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
    nudge = rng.uniform(0, recipe.shift, size=4) * (0.0 if is_cropped else 1.0)
    return (left + nudge[0], top + nudge[1], left + width - nudge[2], top + height - nudge[3])


def _turned(image: Image, part: tuple[float, float, float, float], angle_deg: float) -> Image:
    """A part of an image, by fractions, turned about its middle; beyond the image's edges lies its mirror image."""
    height, width = image.shape[:2]
    left, top, right, bottom = part[0] * width, part[1] * height, part[2] * width, part[3] * height
    turn = cv2.getRotationMatrix2D(((left + right) / 2, (top + bottom) / 2), angle_deg, 1.0)
    turn[:, 2] -= (left, top)
    size = (max(1, round(right - left)), max(1, round(bottom - top)))
    seen = cv2.warpAffine(image, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(seen, dtype=np.uint8)


def _recolored(picture: Image, recipe: AugmentRecipe, rng: np.random.Generator) -> Image:
    """Light, contrast, colour temperature and saturation as one affine map of the colours."""
    light = rng.uniform(1 - recipe.light, 1 + recipe.light)
    contrast = rng.uniform(1 - recipe.light / 2, 1 + recipe.light / 2)
    warmth = rng.uniform(-recipe.color, recipe.color)
    saturation = 1 + rng.uniform(-recipe.color, recipe.color) * _SATURATION
    if picture.shape[2] != 3:  # noqa: PLR2004  a grey picture has no colours to change
        gains, mix = np.array([light]), np.eye(1)
    else:
        # Daylight shifts red against blue (an approximation of a change of colour temperature); green stays.
        gains = np.array([1 + warmth, 1, 1 - warmth]) * light
        mix = saturation * np.eye(3) + (1 - saturation) * np.tile(_GREY, (3, 1))
    mean = float(picture.mean())
    matrix = np.column_stack([gains[:, None] * mix * contrast, gains * mean * (1 - contrast)])
    return np.asarray(cv2.transform(picture, matrix), dtype=np.uint8).reshape(picture.shape)
