"""What a network says of the validation pictures, and how good that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from edge.model_card import Kind

_TEMPERATURES = np.geomspace(0.25, 8.0, 40)


@dataclass(frozen=True, slots=True)
class Scored:
    """The answers to some pictures, and the truth.

    Attributes:
        logits: ``(n, outputs) float32``; one output for a binary question, none for ``embed``.
        embeddings: ``(n, features) float32``.
        targets: ``(n, classes) float32``, a one for each label.
    """

    kind: Kind
    logits: npt.NDArray[np.float32]
    embeddings: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]

    @property
    def losses(self) -> npt.NDArray[np.float64]:
        """``(n,)`` cross-entropies at the best temperature: overconfidence is cured later, and must decide nothing."""
        if not self.logits.size:
            return np.zeros(len(self.targets))
        wanted = answer_targets(self.kind, self.targets).astype(np.float64)
        return min((_cross_entropies(self.kind, self.logits / t, wanted) for t in _TEMPERATURES), key=np.mean)

    @property
    def loss(self) -> float:
        """The mean of ``losses``."""
        return float(self.losses.mean())

    def is_no_worse_than(self, other: Scored) -> bool:
        """Whether the other's answers to the same pictures are not better by more than chance explains.

        That is, by one standard error of the difference (Breiman et al. 1984 choose trees by it): with a hundred
        pictures the lowest loss of many is mostly luck.
        """
        difference = self.losses - other.losses
        return bool(difference.mean() <= difference.std() / np.sqrt(len(difference)))

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0…1; with several labels, over all labels of all pictures."""
        if not self.logits.size:
            return 0.0
        if self.kind == "classify":
            return float((self.logits.argmax(axis=1) == self.targets.argmax(axis=1)).mean())
        return float(((self.logits > 0) == (answer_targets(self.kind, self.targets) > 0)).mean())


def answer_targets(kind: Kind, targets: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What the outputs should say: ``(n, outputs)``; a binary model answers for the second of its two labels."""
    return targets[:, 1:2] if kind == "binary" else targets


def _cross_entropies(
    kind: Kind, logits: npt.NDArray[np.float32], wanted: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    values = logits.astype(np.float64)
    if kind == "classify":
        shifted = values - values.max(axis=1, keepdims=True)
        log_scores = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return np.asarray(-(wanted * log_scores).sum(axis=1))
    # log(1 + e^x) - wanted * x, without overflow
    return np.asarray((np.logaddexp(0, values) - wanted * values).mean(axis=1))
