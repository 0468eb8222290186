"""What the card says of how validation pictures were answered, so that a device can tell when it sees other ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge.answer import TINY, Known, sureness
from edge.model_card import Bins, Reference
from edge.vectors import pack
from edge.watch.drift import POOLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edge.model_card import Kind, UnknownRule

    Floats = npt.NDArray[np.floating[Any]]

LEAST_PICTURES = 50
"""With fewer the five shares are mostly chance."""
SURE = 0.99
"""Beyond it float and int8 scores differ by more than pictures do: one bin."""
_QUINTILES = (0.2, 0.4, 0.6, 0.8)
_DIGITS = 4


def reference(
    kind: Kind,
    labels: Sequence[str],
    scores: Floats,
    embeddings: npt.NDArray[np.float32] | None,
    unknown: UnknownRule | None,
) -> Reference | None:
    """Fifths of what was measured on pictures that the model had not learnt from; ``None`` where they are too few.

    Args:
        kind: of the model.
        labels: likewise.
        scores: ``(n, labels)`` in 0…1.
        embeddings: ``(n, features)`` of the same pictures; ``None`` where the class centres were made of them.
        unknown: the card's rule; with class centres the likeness to them is measured as well.
    """
    if len(scores) < LEAST_PICTURES:
        return None
    answers = scores.argmax(axis=1)
    measured = {"score": np.minimum([sureness(kind, row) for row in scores], 1.0)}
    if embeddings is not None and unknown is not None and unknown.method == "centers":
        known = Known.of(unknown)
        measured["likeness"] = np.array(
            [known.value(row, vector) for row, vector in zip(scores.astype(np.float32), embeddings, strict=True)]
        )
    named = () if kind == "multilabel" else labels  # its answers are several at once
    bins = {name: _by_label(named, answers, values, name) for name, values in measured.items()}
    return Reference(bins=bins)


def reference_of_vectors(vectors: Floats) -> Reference | None:
    """Fifths of how like the mean of all others each vector is; ``None`` where they are too few.

    Args:
        vectors: ``(n, ...)``, the embeddings of pictures such as the device will see, as the device makes them.
    """
    if len(vectors) < LEAST_PICTURES:
        return None
    flat = vectors.reshape(len(vectors), -1).astype(np.float64)
    units = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), TINY)
    total = units.sum(axis=0)
    others = total - units
    likeness = (units * others).sum(axis=1) / np.maximum(np.linalg.norm(others, axis=1), TINY)
    center = total / max(float(np.linalg.norm(total)), TINY)
    return Reference(bins={"likeness": {POOLED: _bins(likeness, np.inf)}}, center=pack(center, "float16"))


def _by_label(
    labels: Sequence[str], answers: npt.NDArray[np.intp], values: npt.NDArray[np.floating], name: str
) -> dict[str, Bins]:
    highest = SURE if name == "score" else np.inf
    groups = {label: values[answers == index] for index, label in enumerate(labels)}
    groups = {label: group for label, group in groups.items() if len(group) >= LEAST_PICTURES}
    return {label: _bins(group, highest) for label, group in {POOLED: values, **groups}.items()}


def _bins(values: npt.NDArray[np.floating], highest: float) -> Bins:
    quintiles = np.unique(np.round(np.quantile(values, _QUINTILES), _DIGITS))
    edges = quintiles[quintiles < highest]
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    shares = tuple(round(float(share), _DIGITS) for share in counts / len(values))
    return Bins(edges=tuple(map(float, edges)), shares=shares, count=len(values))
