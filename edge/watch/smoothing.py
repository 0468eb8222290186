"""One steady answer out of several looks: a running mean of the scores, or the majority of the answers. Pure."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

HALF = 0.5


class Mean(Value, frozen=True):
    """The exponential mean of looks so far.

    Attributes:
        scores: ``(classes,) float64`` in 0…1.
        known: how much of it was known by the unknown rule, 0…1.
        clock_s: of the last look.
    """

    scores: npt.NDArray[np.float64]
    known: float
    clock_s: float

    @property
    def is_known(self) -> bool:
        """Whether at least half of it was."""
        return self.known >= HALF


def mean(
    before: Mean | None, scores: npt.NDArray[np.floating[Any]], *, known: bool, clock_s: float, smooth_s: float
) -> Mean:
    """Take one look in: what was seen ``smooth_s`` ago weighs a third (1/e) of what is seen now, whatever the pace.

    Scores that are no numbers leave the mean as it is and count as not known.

    Args:
        before: the mean so far; ``None``, or one of other classes, begins anew.
        scores: ``(classes,)`` in 0…1.
        known: by the unknown rule.
        clock_s: of the look.
        smooth_s: the time constant; 0 takes the look as it is.
    """
    fresh = scores.astype(np.float64)
    is_sound = bool(np.isfinite(fresh).all())
    if before is None or before.scores.shape != fresh.shape:
        return Mean(fresh, float(known and is_sound), clock_s)
    if not is_sound:
        fresh, known = before.scores, False
    passed_s = max(0.0, clock_s - before.clock_s)
    weight = -math.expm1(-passed_s / smooth_s) if smooth_s > 0.0 else 1.0
    was_sound = bool(np.isfinite(before.scores).all())
    blended = before.scores + weight * (fresh - before.scores) if was_sound else fresh
    return Mean(blended, before.known + weight * (float(known) - before.known), clock_s)


def majority(answers: Sequence[str], state: str | None) -> str:
    """The most frequent of the last answers; of several, the present state, or else the one that came last.

    Args:
        answers: at least one, the oldest first.
        state: what is decided so far.
    """
    counts = Counter(answers)
    most = max(counts.values())
    if state is not None and counts[state] == most:
        return state
    return next(answer for answer in reversed(answers) if counts[answer] == most)
