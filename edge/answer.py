"""What scores and an embedding mean: the label that is the answer, by thresholds and the unknown rule. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edge.value import Value
from edge.vectors import unpack

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy.typing as npt

    from edge.model_card import Kind, UnknownRule

UNKNOWN = "unknown"
"""The answer when no class scores high enough, or the picture is like none of them."""
STALE = "stale"
"""The state when there is no answer that could be trusted: the camera shows nothing, or the last answer is too old."""
NONE = "none"
"""The answer of a ``multilabel`` model that finds none of its labels."""
JOINT = " + "
"""Between the labels that a ``multilabel`` model finds in one picture."""
DEFAULT_THRESHOLD = 0.5
TINY = 1e-12  # keeps a vector of zeros, which is like nothing, from a division by zero


class Known(Value, frozen=True):
    """An unknown rule ready to be asked: its arrays unpacked once.

    Attributes:
        method, threshold: as in ``UnknownRule``.
        arrays: by name, ``float32``.
    """

    method: str
    threshold: float
    arrays: Mapping[str, npt.NDArray[np.float32]] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, rule: UnknownRule) -> Known:
        """Unpack a card's rule.

        Raises:
            ValueError: its class centres are damaged or missing.
        """
        arrays = {name: unpack(packed) for name, packed in rule.arrays.items()}
        if rule.method == "centers" and "centers" not in arrays:
            raise ValueError("it has no class centres")
        return cls(rule.method, rule.threshold, arrays)

    @property
    def needs_embedding(self) -> bool:
        """Whether scores alone are not enough."""
        return self.method == "centers"

    def value(self, scores: npt.NDArray[np.float32], embedding: npt.NDArray[np.float32] | None) -> float:
        """How much a picture is like what the model knows; larger is more."""
        if self.method == "max_score" or embedding is None:
            return float(scores.max())
        vector = embedding.ravel().astype(np.float64)
        centers = self.arrays["centers"].astype(np.float64)
        lengths = np.linalg.norm(centers, axis=1) * np.linalg.norm(vector)
        return float((centers @ vector / np.maximum(lengths, TINY)).max())

    def knows(self, scores: npt.NDArray[np.float32], embedding: npt.NDArray[np.float32] | None) -> bool:
        """Whether the picture is like one of the classes; what is no number is not."""
        return self.value(scores, embedding) >= self.threshold


def sureness(kind: Kind, scores: npt.NDArray[np.floating[Any]]) -> float:
    """How sure a model is of an answer, 0…1.

    It is the highest of the scores, ``(classes,)``; of a ``multilabel`` model, how sure it is of the label that it is
    least sure of, present or absent.
    """
    return float(np.maximum(scores, 1.0 - scores).min() if kind == "multilabel" else scores.max())


def chosen(
    kind: Kind,
    labels: Sequence[str],
    scores: npt.NDArray[np.floating[Any]],
    thresholds: Mapping[str, float],
    *,
    held: Collection[str] = (),
    leave_score: float | None = None,
) -> tuple[str, ...]:
    """The labels that are the answer: one of ``classify`` and ``binary``, any number of ``multilabel``.

    Args:
        kind: of the model.
        labels: one per score.
        scores: ``(classes,)`` in 0…1.
        thresholds: the smallest score at which a label counts; of a ``binary`` model, its second label's.
        held: labels that are the answer so far…
        leave_score: …and remain it while they score at least this; ``None`` gives them no such advantage.
    """
    stay = () if leave_score is None else [label for label in held if label in labels]
    stay = [label for label in stay if scores[labels.index(label)] >= leave_score]
    if kind == "multilabel":
        pairs = zip(labels, scores, strict=True)
        return tuple(
            label for label, score in pairs if score >= thresholds.get(label, DEFAULT_THRESHOLD) or label in stay
        )
    if stay:
        return (stay[0],)
    if kind == "binary" and len(labels) == 2:  # noqa: PLR2004  the two answers of a yes-or-no question
        no, yes = labels
        return (yes if scores[1] >= thresholds.get(yes, DEFAULT_THRESHOLD) else no,)
    return (labels[int(scores.argmax())],)
