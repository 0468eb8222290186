"""Calibration: one temperature, so that a score of 0.8 is right about eight times in ten.

Guo et al., "On Calibration of Modern Neural Networks", 2017.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LOWEST, _HIGHEST, _STEPS = 0.25, 8.0, 200
_BINS = 10


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Row-wise softmax of ``(n, classes)``."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def best_temperature(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    """The temperature with the lowest cross-entropy, by a fine search (the curve has one minimum).

    Args:
        logits: ``(n, classes)`` of held-out pictures.
        labels: ``(n,)`` class indices.
    """
    candidates = np.geomspace(_LOWEST, _HIGHEST, _STEPS)
    targets = _smoothed(labels, logits.shape[1])
    losses = [-float((targets * np.log(np.maximum(softmax(logits / t), 1e-12))).sum()) for t in candidates]
    return float(candidates[int(np.argmin(losses))])


def _smoothed(labels: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    """Targets after Platt 1999: a few pictures that are all right do not justify a certainty of 1."""
    count = len(labels)
    targets = np.full((count, classes), 1 / (count + classes))
    targets[np.arange(count), labels] = (count + 1) / (count + classes)
    return targets


def expected_calibration_error(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """How far the top score is from the share of right answers, averaged over ten bins of the score; 0…1."""
    top = scores.max(axis=1)
    right = scores.argmax(axis=1) == labels
    bins = np.minimum((top * _BINS).astype(int), _BINS - 1)
    return float(
        sum(
            (bins == index).mean() * abs(top[bins == index].mean() - right[bins == index].mean())
            for index in range(_BINS)
            if (bins == index).any()
        )
    )
