"""Blended pairs of pictures: a network that must say how much of each it sees grows less sure of itself.

Zhang et al., "mixup", 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def mix(
    pictures: npt.NDArray[np.uint8], targets: npt.NDArray[np.float32], alpha: float, rng: np.random.Generator
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
    """Blend a batch, ``(n, H, W, 3)`` and ``(n, outputs)``, with itself in another order; alpha 0 leaves it alone."""
    if not alpha:
        return pictures, targets
    share = np.float32(rng.beta(alpha, alpha))
    others = rng.permutation(len(pictures))
    blended = share * pictures + (1 - share) * pictures[others]
    return np.rint(blended).astype(np.uint8), share * targets + (1 - share) * targets[others]
