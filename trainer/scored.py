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
    def loss(self) -> float:
        """Mean cross-entropy at the best temperature: overconfidence is cured later, and must not decide anything."""
        if not self.logits.size:
            return 0.0
        wanted = answer_targets(self.kind, self.targets).astype(np.float64)
        return min(_cross_entropy(self.kind, self.logits / t, wanted) for t in _TEMPERATURES)

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


def _cross_entropy(kind: Kind, logits: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> float:
    logits = logits.astype(np.float64)
    if kind == "classify":
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_scores = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return float(-(wanted * log_scores).sum(axis=1).mean())
    # log(1 + e^x) - wanted * x, without overflow
    return float((np.logaddexp(0, logits) - wanted * logits).mean())
