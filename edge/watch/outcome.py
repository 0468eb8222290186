"""What comes of a watch's looks: an answer or a feature vector each, and how many there were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge.decision import Visits
from edge.value import Mutable, Value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge.frame import Frame
    from edge.model import Prediction
    from edge.watch.watch import Watch


class Embedded(Value, frozen=True):
    """The feature vector of one frame, ``(n,) float32`` or ``(h, w, n)``."""

    watch: Watch
    frame: Frame
    embedding: npt.NDArray[np.float32]


class Answer(Value, frozen=True):
    """What a watch makes of one frame, or of there being none.

    Attributes:
        frame: the frame; ``None`` where the state became ``stale`` without one.
        prediction: the scores, smoothed as the watch is told to; ``None`` where nobody has looked.
        label: the state after this frame; ``None`` while the first one has yet to hold.
        previous: the state before it.
        score: of ``label`` in this frame, 0…1; for ``unknown`` that of the best class; not a number where it is stale.
        reason: why the state is ``unknown`` or ``stale``.
        dwell_s: how long the state had lasted until this frame; where it changed, the previous one.
        visits: of ``label``: how often it was entered, and for how long before.
        embedding: what a watch that can be taught saw, ``(n,) float32`` or ``(h, w, n)``; for a lesson.
    """

    watch: Watch
    frame: Frame | None
    prediction: Prediction | None
    label: str | None
    previous: str | None
    score: float
    reason: str | None = None
    dwell_s: float = 0.0
    visits: Visits = msgspec.field(default_factory=Visits)
    embedding: npt.NDArray[np.float32] | None = None

    @property
    def changed(self) -> bool:
        """Whether this frame changed the state."""
        return self.label != self.previous


class Tally(Mutable):
    """What a watch has done since the start.

    Attributes:
        looks: answers of the model.
        still: looks that the motion gate saved.
        untrusted: frames that were not looked at because the camera's picture was worth nothing.
        unknown: looks whose answer was ``unknown``.
        pictures_lost: pictures that were overtaken by a newer one before they were made, or too large.
    """

    looks: int = 0
    still: int = 0
    untrusted: int = 0
    unknown: int = 0
    pictures_lost: int = 0
