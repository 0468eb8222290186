"""The unknown rule: how a model can say that a picture shows none of its classes.

Three ways are measured on validation pictures, each class in turn playing the stranger whom the model has never seen:
its column of the scores and its centre are taken away. See ``docs/decisions/0018-unknown-by-class-centers.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.answer import Known
from edge.model_card import UnknownRule
from edge.vectors import pack
from trainer.calibrate import softmax

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

REJECTED = 0.05
"""Share of known validation pictures that the rule may call unknown."""
CLEARLY_BETTER = 0.05
"""By how much the score must exceed the class centres (area under ROC) to be taken. Against pictures of another world,
which validation pictures cannot show, the centres found 96 to 98 of 100, the scores 15 to 32, the energy 20 to 34."""
MOST_CENTERS = 8
"""Of each class; 16 found hardly more strangers. See ``docs/decisions/0026-several-centers-of-a-class.md``."""
_PICTURES_PER_CENTER = 8
_ROUNDS = 20
_LEAST_CLASSES = 3  # with one of two classes taken away, the other one's score is always 1


@dataclass(frozen=True, slots=True)
class Validated:
    """What a float model says of validation pictures.

    Attributes:
        logits: ``(n, classes) float32``, after the temperature.
        embeddings: ``(n, features) float32``.
        labels: ``(n,)`` class indices.
    """

    logits: Floats
    embeddings: Floats
    labels: npt.NDArray[np.int64]


def class_centers(embeddings: Floats, labels: npt.NDArray[np.int64], classes: int) -> Floats:
    """Mean directions of the kinds of picture within each class: ``(classes, k, features) float32`` of length 1.

    A class is seldom of one kind (a bottle upright, a bottle lying). ``k`` is the same for all classes: as many as
    the smallest one has pictures for, ``MOST_CENTERS`` at most.

    Args:
        embeddings: ``(n, features)`` of training pictures.
        labels: ``(n,)`` class indices.
        classes: how many.
    """
    directions = _directions(embeddings)
    members = [directions[labels == index] for index in range(classes)]
    count = int(np.clip(min(map(len, members)) // _PICTURES_PER_CENTER, 1, MOST_CENTERS))
    return np.stack([_kinds(each, count) for each in members])


def _kinds(directions: Floats, count: int) -> Floats:
    """k-means on the unit sphere: ``(count, features)``. It begins with pictures from near the mean to far from it."""
    by_likeness = np.argsort(directions @ directions.mean(axis=0), kind="stable")
    centers: Floats = directions[by_likeness[np.linspace(0, len(directions) - 1, count + 2).round().astype(int)[1:-1]]]
    for _ in range(_ROUNDS):
        nearest = (directions @ centers.T).argmax(axis=1)
        means = [directions[nearest == kind].mean(axis=0) if (nearest == kind).any() else centers[kind]
                 for kind in range(count)]  # fmt: skip
        centers = _directions(np.stack(means))
    return centers


def _directions(vectors: Floats) -> Floats:
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray(vectors / lengths, dtype=np.float32)


def measure(validated: Validated, centers: Floats) -> dict[str, float]:
    """How well each way tells a class that was taken away from the others: mean area under ROC, 0.5 is guessing."""
    classes = len(centers)
    if classes < _LEAST_CLASSES:
        return {}
    found: dict[str, list[float]] = {"max_score": [], "energy": [], "centers": []}
    for stranger in range(classes):
        is_stranger = validated.labels == stranger
        if not is_stranger.any() or is_stranger.all():
            continue
        rest = [index for index in range(classes) if index != stranger]
        for method, values in _values(validated.logits[:, rest], validated.embeddings, _flat(centers[rest])).items():
            found[method].append(area_under_roc(values[~is_stranger], values[is_stranger]))
    return {method: round(float(np.mean(areas)), 4) for method, areas in found.items() if areas}


def choose(areas: dict[str, float]) -> str:
    """``centers`` or ``max_score``, by the areas from ``measure``.

    ``energy`` is there for comparison: it needs logits, which a model file does not give, and was hardly ever better.
    """
    is_better = areas.get("max_score", 0.0) > areas.get("centers", 1.0) + CLEARLY_BETTER
    return "max_score" if is_better else "centers"


def make_rule(
    method: str, scores: Floats, embeddings: Floats, centers: Floats, *, rejected: float = REJECTED
) -> UnknownRule:
    """A rule for the card, with its operating point: at most ``rejected`` of these known pictures lie below it.

    Args:
        method: ``centers`` or ``max_score``.
        scores: ``(n, classes)`` of known validation pictures, as the finished file answers.
        embeddings: ``(n, features)``, likewise.
        centers: from ``class_centers``.
        rejected: 0…1.
    """
    arrays = {"centers": pack(_flat(centers), "int8")} if method == "centers" else {}
    rule = UnknownRule(method=method, threshold=0.0, arrays=arrays)  # type: ignore[arg-type]  # one of the two
    known = Known.of(rule)
    values = np.sort([known.value(score, vector) for score, vector in zip(scores, embeddings, strict=True)])
    index = int(np.floor(rejected * len(values)))
    threshold = float(np.floor(values[index] * 1e6) / 1e6) if len(values) else 0.0
    return UnknownRule(
        method=rule.method,
        threshold=threshold,
        rejected=round(float((values < threshold).mean()), 4) if len(values) else 0.0,
        arrays=arrays,
    )


def _flat(centers: Floats) -> Floats:
    return centers.reshape(-1, centers.shape[-1])


def area_under_roc(known: npt.NDArray[np.float64], unknown: npt.NDArray[np.float64]) -> float:
    """The chance that a known picture has the larger value than an unknown one; ties count half (Mann and Whitney)."""
    both = np.concatenate([known, unknown])
    _, inverse, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    above = ranks[: len(known)].sum() - len(known) * (len(known) + 1) / 2
    return float(above / (len(known) * len(unknown)))


def _values(logits: Floats, embeddings: Floats, centers: Floats) -> dict[str, npt.NDArray[np.float64]]:
    highest = logits.max(axis=1)
    energy = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    lengths = np.maximum(np.linalg.norm(embeddings, axis=1), 1e-12)
    return {
        "max_score": softmax(logits).max(axis=1),
        "energy": energy.astype(np.float64),
        "centers": ((embeddings @ centers.T).max(axis=1) / lengths).astype(np.float64),
    }
