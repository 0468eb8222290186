"""Blended pairs of pictures: a network that must say how much of each it sees grows less sure of itself.

Zhang et al., "mixup", 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Pictures = npt.NDArray[np.uint8]
    Targets = npt.NDArray[np.float32]


def draw_mix(count: int, alpha: float, rng: np.random.Generator) -> tuple[np.float32, npt.NDArray[np.int64]]:
    """How much of itself each of ``count`` pictures keeps, and which other one shines through; alpha 0 keeps all."""
    if not alpha:
        return np.float32(1), np.arange(count)
    return np.float32(rng.beta(alpha, alpha)), rng.permutation(count)


def mix(share: np.float32, own: tuple[Pictures, Targets], others: tuple[Pictures, Targets]) -> tuple[Pictures, Targets]:
    """Blend pictures, ``(n, H, W, 3) uint8``, and their targets, ``(n, outputs)``, with those of others."""
    if share == 1:
        return own
    blended = share * own[0] + (1 - share) * others[0]
    return np.rint(blended).astype(np.uint8), share * own[1] + (1 - share) * others[1]
