"""How right a model file is, asked through the device's own code."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.calibrate import expected_calibration_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from edge.frame import Image
    from edge.model import Model

_Z95 = 1.959964  # 97.5th percentile of the normal distribution


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Answers of one model to labelled pictures.

    Attributes:
        scores: ``(n, classes) float64``.
        truth: ``(n,)`` class indices.
        latency_ms: median time of one answer on this machine, preprocessing included.
    """

    labels: tuple[str, ...]
    scores: npt.NDArray[np.float64]
    truth: npt.NDArray[np.int64]
    latency_ms: float

    @property
    def answers(self) -> npt.NDArray[np.int64]:
        """``(n,)`` index of the top class."""
        return np.asarray(self.scores.argmax(axis=1), dtype=np.int64)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """``(n,)`` whether the top class is the true one."""
        return np.asarray(self.answers == self.truth)

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0…1."""
        return float(self.right.mean())

    def margins(self) -> npt.NDArray[np.float64]:
        """``(n,)`` distance between the two best scores: small near a decision boundary."""
        best = np.sort(self.scores, axis=1)
        return np.asarray(best[:, -1] - best[:, -2])

    def summary(self) -> dict[str, Any]:
        """What the card keeps."""
        low, high = wilson_interval(int(self.right.sum()), len(self.truth))
        per_class = {}
        for index, label in enumerate(self.labels):
            of_class = self.truth == index
            said = self.answers == index
            hits = int((of_class & said).sum())
            per_class[label] = {
                "pictures": int(of_class.sum()),
                "recall": round(hits / max(1, int(of_class.sum())), 4),
                "precision": round(hits / max(1, int(said.sum())), 4),
            }
        return {
            "pictures": len(self.truth),
            "accuracy": round(self.accuracy, 4),
            "accuracy_low": round(low, 4),
            "accuracy_high": round(high, 4),
            "expected_calibration_error": round(expected_calibration_error(self.scores, self.truth), 4),
            "latency_ms": round(self.latency_ms, 2),
            "per_class": per_class,
        }


def evaluate(
    model: Model, pictures: Iterable[tuple[Image, int]], *, on_picture: Callable[[], None] = lambda: None
) -> Evaluation:
    """Ask a model about labelled pictures, ``(H, W, 3) uint8 BGR`` and class index."""
    scores, truth, seconds = [], [], []
    for image, label in pictures:
        started = time.perf_counter()
        prediction = model.predict(image)
        seconds.append(time.perf_counter() - started)
        scores.append(prediction.scores.astype(np.float64))
        truth.append(label)
        on_picture()
    return Evaluation(model.labels, np.stack(scores), np.array(truth, dtype=np.int64), 1000 * float(np.median(seconds)))


def agreement(first: Evaluation, second: Evaluation) -> float:
    """Share of pictures to which both models answer the same, 0…1."""
    return float((first.answers == second.answers).mean())


def wilson_interval(hits: int, total: int) -> tuple[float, float]:
    """95 % confidence interval of a share (Wilson 1927), honest for few pictures and near 0 and 1."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = hits / total, _Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)
