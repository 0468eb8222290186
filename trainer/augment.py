"""Changed copies of a picture, as the same fixed camera might have taken it: other light, colour, noise, a nudge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.preprocess import prepare

if TYPE_CHECKING:
    from edge.frame import Image
    from edge.model_card import InputSpec
    from trainer.recipe import AugmentRecipe


def augmented(image: Image, spec: InputSpec, recipe: AugmentRecipe, rng: np.random.Generator) -> Image:
    """One random view of a picture, prepared for the model.

    Args:
        image: ``(H, W, 3) uint8 BGR``.
        spec: with its size set; colours come out in its order.
        recipe: how far to go.
        rng: the only source of randomness.

    Returns:
        ``(height_px, width_px, 3) uint8``.
    """
    left, top, right, bottom = rng.uniform(0, recipe.shift, size=4)
    picture = prepare(image, spec, roi=(left, top, 1 - right, 1 - bottom)).astype(np.float32)
    if recipe.flip and rng.random() < 0.5:  # noqa: PLR2004  a fair coin
        picture = picture[:, ::-1]
    light = rng.uniform(1 - recipe.light, 1 + recipe.light)
    warmth = rng.uniform(-recipe.color, recipe.color)
    contrast = rng.uniform(1 - recipe.light / 2, 1 + recipe.light / 2)
    # Daylight shifts red against blue (an approximation of a change of colour temperature); green stays.
    gains = np.array([1 + warmth, 1, 1 - warmth], dtype=np.float32) * light
    mean = picture.mean()
    picture = (picture - mean) * contrast + mean
    picture = picture * gains
    if recipe.noise:
        picture = picture + rng.normal(0, rng.uniform(0, recipe.noise), picture.shape).astype(np.float32)
    return np.asarray(np.clip(np.rint(picture), 0, 255), dtype=np.uint8)
