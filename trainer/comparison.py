"""Two forms of one model side by side, asked through the device's code, with or without knowing the right answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.evaluate import Evaluation

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from edge.model import Model, Prediction
    from edge.model_card import Kind
    from trainer.calibration_pictures import CalibrationPictures

_HALF = 0.5
_FLOAT_TOLERANCE = 1e-3
_FEW = 1e-12  # keeps a vector of zeros from dividing by zero


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a float model and its int8 form said of the same pictures.

    Attributes:
        labels: empty for ``embed``.
        float_values, int8_values: ``(n, classes)`` scores, or ``(n, features)``; a ``binary`` model has two scores.
        truth: ``(n,)`` label indices, where they are known.
        latency_ms: median time of the int8 model on this machine, preprocessing included.
    """

    kind: Kind
    labels: tuple[str, ...]
    float_values: npt.NDArray[np.float64]
    int8_values: npt.NDArray[np.float64]
    truth: npt.NDArray[np.int64] | None
    latency_ms: float

    @property
    def agreement(self) -> float:
        """Share of equal answers, 0…1; for ``embed`` the mean cosine similarity."""
        if self.kind == "embed":
            return float(self.cosines().mean())
        if self.kind == "multilabel":
            return float(((self.float_values >= _HALF) == (self.int8_values >= _HALF)).mean())
        return float((self.float_values.argmax(axis=1) == self.int8_values.argmax(axis=1)).mean())

    @property
    def float_tolerance(self) -> float:
        """How far the float form may be off the saved model: rounding, as a part of the largest value."""
        return _FLOAT_TOLERANCE * max(1.0, float(np.abs(self.float_values).max()))

    def cosines(self) -> npt.NDArray[np.float64]:
        """``(n,)`` cosine similarity of each picture's two vectors."""
        products = (self.float_values * self.int8_values).sum(axis=1)
        lengths = np.linalg.norm(self.float_values, axis=1) * np.linalg.norm(self.int8_values, axis=1)
        return np.asarray(products / np.maximum(lengths, _FEW))

    def difference_from(self, reference: npt.NDArray[np.floating[Any]]) -> float:
        """The largest difference of the float form from the saved model's own answers to the first pictures."""
        answers = reference.reshape(len(reference), -1).astype(np.float64)
        if self.kind == "binary":
            answers = np.concatenate([1 - answers, answers], axis=1)
        return float(np.abs(self.float_values[: len(answers)] - answers).max())

    def sensitive(self, count: int) -> list[int]:
        """Positions of pictures near a decision boundary and of clear ones, taking turns; of features, any."""
        total = len(self.int8_values)
        if self.kind == "embed":
            return sorted({round(position) for position in np.linspace(0, total - 1, min(count, total))})
        if self.kind == "multilabel":
            margins = np.abs(self.int8_values - _HALF).min(axis=1)
        else:
            best = np.sort(self.int8_values, axis=1)
            margins = best[:, -1] - best[:, -2]
        order = [int(index) for index in np.argsort(margins, kind="stable")]
        turns = [index for pair in zip(order, reversed(order), strict=True) for index in pair]
        return list(dict.fromkeys(turns))[:count]

    def evaluations(self) -> tuple[Evaluation, Evaluation] | None:
        """Float and int8 judged by the truth, where there is one."""
        if self.truth is None or self.kind not in {"classify", "binary"}:
            return None
        return (
            Evaluation(self.labels, self.float_values, self.truth, self.latency_ms),
            Evaluation(self.labels, self.int8_values, self.truth, self.latency_ms),
        )

    def summary(self) -> dict[str, Any]:
        """What the card keeps."""
        result: dict[str, Any] = {
            "pictures": len(self.int8_values),
            "agreement": round(self.agreement, 4),
            "largest_difference": round(float(np.abs(self.float_values - self.int8_values).max()), 4),
            "latency_ms": round(self.latency_ms, 2),
        }
        if self.kind == "embed":
            result["cosine_mean"] = round(float(self.cosines().mean()), 4)
            result["cosine_min"] = round(float(self.cosines().min()), 4)
        evaluations = self.evaluations()
        if evaluations is not None:
            result["float"], result["int8"] = (evaluation.summary() for evaluation in evaluations)
        return result


@dataclass(frozen=True, slots=True)
class Asked:
    """What one model said: ``(n, values) float64``, and the median time of an answer, preprocessing included."""

    values: npt.NDArray[np.float64]
    latency_ms: float


def ask_all(model: Model, pictures: CalibrationPictures, *, on_picture: Callable[[], None] = lambda: None) -> Asked:
    """Ask a model about every picture, through the device's code."""
    rows, seconds = [], []
    for image in pictures.images():
        started = time.perf_counter()
        prediction = model.predict(image)
        seconds.append(time.perf_counter() - started)
        rows.append(_values(prediction))
        on_picture()
    return Asked(np.stack(rows), 1000 * float(np.median(seconds)))


def compare(floats: Asked, found: Asked, model: Model, pictures: CalibrationPictures) -> Comparison:
    """Set a file's answers beside those of the float form of the model.

    Args:
        floats: of the float form.
        found: of the file.
        model: of the file, for its kind and labels.
        pictures: that both were asked about.
    """
    return Comparison(
        kind=model.kind,
        labels=model.labels,
        float_values=floats.values,
        int8_values=found.values,
        truth=None if pictures.truth is None else np.array(pictures.truth, dtype=np.int64),
        latency_ms=found.latency_ms,
    )


def _values(prediction: Prediction) -> npt.NDArray[np.float64]:
    values = prediction.scores if prediction.embedding is None or len(prediction.scores) else prediction.embedding
    return values.ravel().astype(np.float64)
