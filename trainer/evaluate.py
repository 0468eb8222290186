"""How right a model file is, asked through the device's own code."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.answer import DEFAULT_THRESHOLD
from trainer.calibrate import binary_calibration_error, expected_calibration_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from edge.frame import Image
    from edge.model import Model
    from edge.model_card import Kind

_Z95 = 1.959964  # 97.5th percentile of the normal distribution


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Answers of one model to labelled pictures.

    Attributes:
        scores: ``(n, classes) float64``.
        truth: ``(n,)`` class indices; ``(n, classes)`` of 0 or 1 for a ``multilabel`` model.
        latency_ms: median time of one answer on this machine, preprocessing included.
        kind: of the model.
        thresholds: as in the card.
        rejected: share of the pictures that the card's unknown rule calls unknown, 0…1; not counted as wrong.
        likeness: ``(n,)`` what that rule measured on each, where there is one.
    """

    labels: tuple[str, ...]
    scores: npt.NDArray[np.float64]
    truth: npt.NDArray[np.int64]
    latency_ms: float
    kind: Kind = "classify"
    thresholds: Mapping[str, float] = field(default_factory=dict)
    rejected: float = 0.0
    likeness: npt.NDArray[np.float64] | None = None

    @property
    def answers(self) -> npt.NDArray[np.int64]:
        """``(n,)`` index of the answer; ``(n, classes)`` of 0 or 1 for a ``multilabel`` model."""
        if self.kind == "classify":
            return np.asarray(self.scores.argmax(axis=1), dtype=np.int64)
        counts = (self.scores >= self._limits()).astype(np.int64)
        return counts if self.kind == "multilabel" else counts[:, 1]

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """``(n,)`` whether the answer is the true one; of a ``multilabel`` model, whether every label of it is."""
        same = self.answers == self.truth
        return np.asarray(same.all(axis=1) if same.ndim > 1 else same)

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0…1."""
        return float(self.right.mean())

    def margins(self) -> npt.NDArray[np.float64]:
        """``(n,)`` distance to the nearest decision boundary, in score: small where a little noise turns the answer."""
        if self.kind == "classify":
            best = np.sort(self.scores, axis=1)
            return np.asarray(best[:, -1] - best[:, -2])
        distances = np.abs(self.scores - self._limits())
        return np.asarray(distances.min(axis=1) if self.kind == "multilabel" else distances[:, 1])

    def agreement(self, other: Evaluation) -> float:
        """Share of pictures to which both models answer the same, 0…1."""
        same = self.answers == other.answers
        return float((same.all(axis=1) if same.ndim > 1 else same).mean())

    def summary(self) -> dict[str, Any]:
        """What the card keeps."""
        low, high = wilson_interval(int(self.right.sum()), len(self.truth))
        per_class = {}
        for index, label in enumerate(self.labels):
            of_class, said = self._of(self.truth, index), self._of(self.answers, index)
            hits = int((of_class & said).sum())
            found = wilson_interval(hits, int(of_class.sum()))
            per_class[label] = {
                "pictures": int(of_class.sum()),
                "recall": round(hits / max(1, int(of_class.sum())), 4),
                "recall_low": round(found[0], 4),
                "recall_high": round(found[1], 4),
                "precision": round(hits / max(1, int(said.sum())), 4),
            }
        return {
            "pictures": len(self.truth),
            "accuracy": round(self.accuracy, 4),
            "accuracy_low": round(low, 4),
            "accuracy_high": round(high, 4),
            "expected_calibration_error": round(self._calibration_error(), 4),
            "called_unknown": round(self.rejected, 4),
            "latency_ms": round(self.latency_ms, 2),
            "per_class": per_class,
        }

    def _of(self, values: npt.NDArray[np.int64], index: int) -> npt.NDArray[np.bool_]:
        return np.asarray(values[:, index] > 0 if values.ndim > 1 else values == index)

    def _limits(self) -> npt.NDArray[np.float64]:
        return np.array([self.thresholds.get(label, DEFAULT_THRESHOLD) for label in self.labels])

    def _calibration_error(self) -> float:
        if self.kind == "classify":
            return expected_calibration_error(self.scores, self.truth)
        if self.kind == "binary":
            return binary_calibration_error(self.scores[:, 1], self.truth.astype(np.float64))
        return binary_calibration_error(self.scores, self.truth.astype(np.float64))


def evaluate(
    model: Model,
    pictures: Iterable[tuple[Image, int | Sequence[int]]],
    *,
    on_picture: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Ask a model about labelled pictures.

    Args:
        model: of a kind that scores. Its unknown rule only counts: the pictures are all of known classes.
        pictures: ``(H, W, 3) uint8 BGR`` and class index; for a ``multilabel`` model all of a picture's class indices.
        on_picture: called after each, for progress.
    """
    scores, truth, seconds, known = [], [], [], []
    likeness: list[float] = []
    for image, label in pictures:
        started = time.perf_counter()
        prediction = model.predict(image)
        seconds.append(time.perf_counter() - started)
        scores.append(prediction.scores.astype(np.float64))
        truth.append(label)
        known.append(prediction.known)
        if model.known is not None:
            likeness.append(model.known.value(prediction.scores, prediction.embedding))
        on_picture()
    thresholds = model.file.card.thresholds if model.file.card else {}
    rows = np.stack(scores)
    targets = (
        _multi_hot(truth, rows.shape[1])
        if model.kind == "multilabel"
        else np.array([each if isinstance(each, int) else each[0] for each in truth], dtype=np.int64)
    )
    return Evaluation(
        labels=model.labels,
        scores=rows,
        truth=targets,
        latency_ms=1000 * float(np.median(seconds)),
        kind=model.kind,
        thresholds=thresholds,
        rejected=1.0 - float(np.mean(known)),
        likeness=np.array(likeness) if likeness else None,
    )


def agreement(first: Evaluation, second: Evaluation) -> float:
    """Share of pictures to which both models answer the same, 0…1."""
    return first.agreement(second)


def _multi_hot(truth: Sequence[int | Sequence[int]], classes: int) -> npt.NDArray[np.int64]:
    rows = np.zeros((len(truth), classes), dtype=np.int64)
    for row, labels in zip(rows, truth, strict=True):
        row[[labels] if isinstance(labels, int) else list(labels)] = 1
    return rows


def wilson_interval(hits: int, total: int) -> tuple[float, float]:
    """95 % confidence interval of a share (Wilson 1927), honest for few pictures and near 0 and 1."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = hits / total, _Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)
