"""The golden samples: which pictures travel inside the file, and how far another device may be off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.model_file import GoldenSamples

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edge.frame import Image
    from edge.model import Model
    from trainer.evaluate import Evaluation

LONGEST_SIDE_PX = 320
"""Larger frames would outweigh the model; resizing is still part of what they prove."""
TOLERANCE = 0.15
"""Twice what two correct runtimes differ by: of 300 pictures of flowers and waste the largest difference between
ai-edge-litert and tflite-runtime was 0.072, near a decision boundary as elsewhere (int8 kernels round differently). A
wrong scaling or a damaged kernel differs by far more; swapped colours do where colour matters to the model."""
COUNT = 6


def choose(evaluation: Evaluation, count: int = COUNT) -> list[int]:
    """Positions of sensitive pictures (near a boundary) and of typical ones, taking turns, classes first come."""
    margins = evaluation.margins()
    by_margin = [int(index) for index in np.argsort(margins, kind="stable")]
    typical = [
        int(members[np.argmax(margins[members])])
        for label in range(len(evaluation.labels))
        if (members := np.flatnonzero(_shows(evaluation, label))).size
    ]
    turns = [index for pair in zip(by_margin, typical + by_margin[::-1], strict=False) for index in pair]
    return list(dict.fromkeys(turns))[:count]


def capture(model: Model, images: Sequence[Image]) -> GoldenSamples:
    """Ask the finished model about raw frames, ``(H, W, 3) uint8 BGR``, and keep frames and answers."""
    frames = tuple(_shrink(image) for image in images)
    return GoldenSamples(frames, np.stack([model.golden_answer(frame) for frame in frames]).astype(np.float32))


def _shows(evaluation: Evaluation, label: int) -> npt.NDArray[np.bool_]:
    truth = evaluation.truth
    return np.asarray(truth[:, label] > 0 if truth.ndim > 1 else truth == label)


def _shrink(image: Image) -> Image:
    height, width = image.shape[:2]
    scale = LONGEST_SIDE_PX / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
