"""Does a watch still see what its model was trained with? One number, from answers spread over days. Pure.

The card says how sure the model was of validation pictures, and how like its class centres they were. If a camera is
moved, or its lens grows dim, answers are less sure and pictures less alike, long before somebody notices wrong ones.
"""

from __future__ import annotations

import bisect
import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.model_card import Bins, Reference

SPACING_S = 600.0
"""Looks in a row show the same; so far apart they count as several."""
MEMORY = 500.0
"""How many looks count: older ones fade, to a third after so many more."""
LEAST = 100
"""Looks that a number needs: at this spacing 17 hours."""
NOTABLE = 0.25
"""A quarter of what is seen is worse than in training."""
POOLED = ""
"""Instead of a label: all of them, for those that had too few pictures."""
_CHANCE = 0.627  # the mean of the one-sided distance of two samples of one kind: the root of pi / 8


class Drift:
    """What one watch has seen of late, against its model's reference.

    The measure is a one-sided Kolmogorov-Smirnov distance: at which value do more looks lie below it than in training,
    and how many more; less what chance alone would give. So 0.3 says that three looks in ten are less sure, or less
    like training, than they would have been there. To be surer is no drift. Each answer is compared with its own, so
    that it does not matter how often the gate is open; of several things measured the largest distance counts.

    Args:
        reference: from the card; ``None`` where it has none.
        spacing_s: how far apart looks must be to be counted.
    """

    def __init__(self, reference: Reference | None, *, spacing_s: float = SPACING_S) -> None:
        self._bins: Mapping[str, Mapping[str, Bins]] = reference.bins if reference else {}
        self._spacing_s = spacing_s
        self._next_s = -math.inf
        self._count = 0
        self._seen: dict[str, dict[str, list[float]]] = {}

    def wants(self, clock_s: float) -> bool:
        """Whether a look at that time is to be counted."""
        return bool(self._bins) and clock_s >= self._next_s

    def see(self, label: str, values: Mapping[str, float], clock_s: float) -> None:
        """Count a look.

        Args:
            label: the class with the highest score.
            values: what was measured, by the names of the reference; numbers that are none are left out.
            clock_s: of the look.
        """
        self._next_s = clock_s + self._spacing_s
        self._count += 1
        for measured, by_label in self._bins.items():
            known = label if label in by_label else POOLED
            value = values.get(measured, math.nan)
            if known not in by_label or math.isnan(value):
                continue
            seen = self._seen.setdefault(measured, {})
            for counts in seen.values():
                counts[:] = [count * (1 - 1 / MEMORY) for count in counts]
            edges = by_label[known].edges
            seen.setdefault(known, [0.0] * (len(edges) + 1))[bisect.bisect_right(edges, value)] += 1.0

    def number(self) -> float | None:
        """How far it has drifted: 0 is not at all; ``None`` while too little was seen."""
        if self._count < LEAST:
            return None
        found = [self._index(measured, by_label) for measured, by_label in self._seen.items()]
        return max(found) if found else None

    def _index(self, measured: str, by_label: Mapping[str, list[float]]) -> float:
        total = sum(map(sum, by_label.values()))
        index = 0.0
        for label, counts in by_label.items():
            bins, weight = self._bins[measured][label], sum(counts)
            seen = itertools.accumulate(count / weight for count in counts)
            expected = itertools.accumulate(bins.shares)
            more = max(one - other for one, other in zip(seen, expected, strict=True))
            by_chance = _CHANCE * math.sqrt(1 / weight + 1 / bins.count)
            index += weight / total * max(0.0, more - by_chance)
        return index
