"""Thresholds: from which score on an answer counts, chosen on validation pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    _Counts = npt.NDArray[np.int64]
    _Merit = Callable[[_Counts, _Counts, int, int], npt.NDArray[np.float64]]

LOWEST, HIGHEST = 0.05, 0.95
"""A threshold outside would rest on a handful of pictures at an end of the scale."""


def youden(scores: npt.NDArray[np.floating[Any]], truth: npt.NDArray[np.bool_]) -> float:
    """For a yes-or-no question: the threshold with the best mean of both classes' recall (Youden's J, 1950).

    Unlike F1 it does not depend on how many pictures of either answer the owner happened to take.

    Args:
        scores: ``(n,)`` of the second label, 0…1.
        truth: ``(n,)`` whether it is the right one.
    """
    return _best(scores, truth, lambda hits, false, yes, no: hits / yes - false / no)


def best_f1(scores: npt.NDArray[np.floating[Any]], truth: npt.NDArray[np.bool_]) -> float:
    """For one label of several: the threshold with the best F1, which heeds how rare the label is.

    Args:
        scores: ``(n,)`` of the label, 0…1.
        truth: ``(n,)`` whether the picture shows it.
    """
    return _best(scores, truth, lambda hits, false, yes, _: 2 * hits / (hits + false + yes))


def per_label(
    scores: npt.NDArray[np.floating[Any]], targets: npt.NDArray[np.floating[Any]], labels: Sequence[str]
) -> dict[str, float]:
    """A threshold for each label of a ``multilabel`` model; ``(n, classes)`` scores and 0-or-1 targets."""
    return {label: round(best_f1(scores[:, index], targets[:, index] > 0), 4) for index, label in enumerate(labels)}


def _best(scores: npt.NDArray[np.floating[Any]], truth: npt.NDArray[np.bool_], merit: _Merit) -> float:
    """The middle of the widest gap between neighbouring scores among the cuts with the best merit."""
    yes, no = int(truth.sum()), int((~truth).sum())
    if not yes or not no:
        return 0.5
    order = np.argsort(scores, kind="stable")
    ranked, right = scores[order].astype(np.float64), truth[order]
    hits = yes - np.concatenate([[0], np.cumsum(right)])
    false = no - np.concatenate([[0], np.cumsum(~right)])
    edges = np.concatenate([[0.0], ranked, [1.0]])
    gaps = np.diff(edges)
    merits = np.where(gaps > 0, merit(hits, false, yes, no), -np.inf)
    best = np.flatnonzero(merits >= merits.max() - 1e-12)
    widest = best[int(np.argmax(gaps[best]))]
    return float(np.clip((edges[widest] + edges[widest + 1]) / 2, LOWEST, HIGHEST))
