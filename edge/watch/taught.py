"""Classes taught on the device: centres of a few pictures' feature vectors, and scores by likeness to them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edge.model import Prediction
from edge.value import Value
from edge.vectors import unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]
    """``(n, d) float32``, each of length 1."""

TEMPERATURES = np.geomspace(0.01, 1.0, 40)
"""Tried when scores are calibrated: by how much of cosine a class must be nearer to be e times as likely."""
USUAL_TEMPERATURE = 0.1
"""Where single pictures leave nothing to calibrate by; see ``docs/teach.md``."""
_STRANGE_SIGMAS = 3.0
_STRANGE_SHOTS_MIN = 5
_LEAST_SPREAD = 0.01
_PAIR = 2


def direction(embedding: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What is kept of a feature vector of any shape: ``(d,) float32`` of length 1.

    Square roots, with their signs, keep a few strong features, which a scene always has, from outweighing the many weak
    ones that tell its states apart.
    """
    flat = embedding.ravel().astype(np.float32)
    return unit(np.sign(flat) * np.sqrt(np.abs(flat)))


class Taught(Value, frozen=True):
    """What a watch was taught.

    Attributes:
        labels: in the order in which they were first taught.
        centers: ``(labels, d) float32``: the mean direction of each label's pictures.
        temperature: divides likenesses on their way to scores.
        threshold: a picture whose cosine to the nearest centre is below it is like nothing that was taught.
    """

    labels: tuple[str, ...] = ()
    centers: Vectors = msgspec.field(default_factory=lambda: np.empty((0, 0), np.float32))
    temperature: float = USUAL_TEMPERATURE
    threshold: float = -1.0

    @classmethod
    def of(cls, shots: Mapping[str, Vectors]) -> Taught:
        """Learn from the directions of each label's pictures, at least one of each."""
        if not shots:
            return cls()
        centers = np.stack([vectors.mean(axis=0) for vectors in shots.values()]).astype(np.float32)
        likenesses, cosines, truth = _left_out(list(shots.values()), centers)
        return cls(tuple(shots), centers, _temperature(likenesses, truth), _threshold(cosines))

    def answer(self, embedding: npt.NDArray[np.float32]) -> Prediction:
        """Scores for a feature vector of any shape: a softmax over its likenesses to the centres."""
        vector = direction(embedding)
        scores = _softmax(_likeness(self.centers, vector)[None] / self.temperature)[0]
        nearest = float(_cosines(self.centers, vector).max())
        return Prediction(self.labels, scores.astype(np.float32), embedding, known=nearest >= self.threshold)


def _cosines(centers: Vectors, vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(centers @ vector / np.maximum(np.linalg.norm(centers, axis=1), 1e-12), dtype=np.float32)


def _likeness(centers: Vectors, vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Cosines to the centres as seen from their middle: what all of them share, the scene itself, does not count."""
    if len(centers) < _PAIR:
        return _cosines(centers, vector)
    middle = centers.mean(axis=0)
    return _cosines(centers - middle, unit(vector - middle))


def _left_out(
    shots: list[Vectors], centers: Vectors
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """How each picture would be seen if its own centre had been made without it.

    Labels with a single picture have no centre without it and are left out.

    Returns:
        Likenesses to all centres, ``(n, labels)``; the cosine to its own, ``(n,)``; the index of its label, ``(n,)``.
    """
    likenesses, cosines, truth = [], [], []
    for index, vectors in enumerate(shots):
        if len(vectors) < _PAIR:
            continue
        total = vectors.sum(axis=0)
        for vector in vectors:
            without = centers.copy()
            without[index] = (total - vector) / (len(vectors) - 1)
            likenesses.append(_likeness(without, vector))
            cosines.append(float(_cosines(without[index : index + 1], vector)[0]))
            truth.append(index)
    shape = (len(truth), len(shots))
    return np.array(likenesses, np.float64).reshape(shape), np.array(cosines, np.float64), np.array(truth, np.intp)


def _temperature(likenesses: npt.NDArray[np.float64], truth: npt.NDArray[np.intp]) -> float:
    """The temperature under which the pictures left out are likeliest.

    Few pictures are easily told apart and would make it certain of everything; the targets are softened as Platt did
    for calibration: what n pictures agree on has a probability of (n + 1) / (n + 2).
    """
    count, classes = likenesses.shape
    if count == 0 or classes < _PAIR:
        return USUAL_TEMPERATURE
    sure = (count + 1) / (count + 2)
    targets = np.full(likenesses.shape, (1 - sure) / (classes - 1))
    targets[np.arange(count), truth] = sure
    losses = [-float((targets * np.log(_softmax(likenesses / t) + 1e-12)).sum()) for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _threshold(cosines: npt.NDArray[np.float64]) -> float:
    """Three standard deviations below the usual cosine of a picture to its own centre."""
    if len(cosines) < _STRANGE_SHOTS_MIN:
        return -1.0
    return float(cosines.mean() - _STRANGE_SIGMAS * max(float(cosines.std()), _LEAST_SPREAD))


def _softmax(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
