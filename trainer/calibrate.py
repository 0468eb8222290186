"""Calibration: one temperature, so that a score of 0.8 is right about eight times in ten.

Guo et al., "On Calibration of Modern Neural Networks", 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_CANDIDATES = np.geomspace(0.25, 8.0, 200)
_TINY = 1e-12
_BINS = 10


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Row-wise softmax of ``(n, classes)``."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def sigmoid(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Each value on its own between 0 and 1."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64))))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The temperature to divide logits by, and how far scores were and are from the truth (see the errors below)."""

    temperature: float
    error_before: float
    error_after: float

    def summary(self) -> dict[str, float]:
        """What the card keeps."""
        return {
            "temperature": round(self.temperature, 4),
            "expected_calibration_error_before": round(self.error_before, 4),
            "expected_calibration_error_after": round(self.error_after, 4),
        }


def calibrate(logits: npt.NDArray[np.float32], targets: npt.NDArray[np.floating[Any]], kind: str) -> Calibration:
    """Calibrate a model of any kind that scores.

    Args:
        logits: ``(n, classes)`` of validation pictures; one column for ``binary``.
        targets: ``(n, classes)`` of 0 or 1; for ``binary`` the last column counts.
        kind: as in the card.
    """
    if kind == "classify":
        labels = targets.argmax(axis=1)
        temperature = best_temperature(logits, labels)
        before, after = (expected_calibration_error(softmax(logits / np.float32(t)), labels) for t in (1, temperature))
    else:
        wanted = targets[:, -logits.shape[1] :]
        temperature = _best_sigmoid_temperature(logits, wanted)
        before, after = (binary_calibration_error(sigmoid(logits / t), wanted) for t in (1.0, temperature))
    return Calibration(temperature, before, after)


def best_temperature(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    """The temperature with the lowest cross-entropy, by a fine search (the curve has one minimum).

    Args:
        logits: ``(n, classes)`` of held-out pictures.
        labels: ``(n,)`` class indices.
    """
    targets = _smoothed(labels, logits.shape[1])
    losses = [-float((targets * np.log(np.maximum(softmax(logits / t), _TINY))).sum()) for t in _CANDIDATES]
    return float(_CANDIDATES[int(np.argmin(losses))])


def _best_sigmoid_temperature(logits: npt.NDArray[np.float32], targets: npt.NDArray[np.floating[Any]]) -> float:
    count = len(targets)
    smooth = (targets * count + 1) / (count + 2)  # Platt 1999, as below
    losses = []
    for temperature in _CANDIDATES:
        scores = np.clip(sigmoid(logits / temperature), _TINY, 1 - _TINY)
        losses.append(-float((smooth * np.log(scores) + (1 - smooth) * np.log(1 - scores)).sum()))
    return float(_CANDIDATES[int(np.argmin(losses))])


def _smoothed(labels: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    """Targets after Platt 1999: a few pictures that are all right do not justify a certainty of 1."""
    count = len(labels)
    targets = np.full((count, classes), 1 / (count + classes))
    targets[np.arange(count), labels] = (count + 1) / (count + classes)
    return targets


def expected_calibration_error(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """How far the top score is from the share of right answers, averaged over ten bins of the score; 0…1."""
    return _binned_gap(scores.max(axis=1), scores.argmax(axis=1) == labels)


def binary_calibration_error(scores: npt.NDArray[np.float64], targets: npt.NDArray[np.floating[Any]]) -> float:
    """How far the score of a label is from the share of pictures that show it, over all labels; 0…1."""
    return _binned_gap(scores.ravel(), targets.ravel() > 0)


def _binned_gap(scores: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> float:
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    return float(
        sum(
            (bins == index).mean() * abs(scores[bins == index].mean() - right[bins == index].mean())
            for index in range(_BINS)
            if (bins == index).any()
        )
    )
