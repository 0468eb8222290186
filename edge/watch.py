"""A watch: a question asked of a camera, again and again."""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.answer import UNKNOWN
from edge.decision import Decision, Rules, decide
from edge.errors import ConfigError
from edge.runtime import EMBEDDING
from edge.vectors import unit

if TYPE_CHECKING:
    from concurrent.futures import Future

    import numpy as np
    import numpy.typing as npt

    from edge.config import WatchConfig
    from edge.frame import Frame
    from edge.model import Model, Prediction

DECIDABLE = ("classify", "binary", "multilabel")


@dataclass(frozen=True, slots=True)
class Embedded:
    """The feature vector of one frame, ``(n,) float32`` or ``(h, w, n)``."""

    watch: Watch
    frame: Frame
    embedding: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a watch makes of one frame.

    Attributes:
        label: the state after this frame; ``None`` while the first one has yet to hold.
        previous: the state before it.
        score: of ``label`` in this frame, 0…1; for ``unknown`` that of the best class.
    """

    watch: Watch
    frame: Frame
    prediction: Prediction
    label: str | None
    previous: str | None
    score: float

    @property
    def changed(self) -> bool:
        """Whether this frame changed the state."""
        return self.label != self.previous


class Watch:
    """Region, model, cadence and decision of one question. One thread at a time."""

    def __init__(self, name: str, config: WatchConfig, model: Model) -> None:
        """Join a watch with its model.

        Raises:
            ConfigError: the model does not give what the watch is to publish.
        """
        self.embeds = config.output == "embedding" or (config.output == "auto" and model.kind == "embed")
        if self.embeds and EMBEDDING not in model.engine.outputs:
            raise ConfigError(
                f"watches.{name}.output: {model.file.path} gives no feature vectors; use a model of kind 'embed', "
                'or output = "answer"'
            )
        if not self.embeds and model.kind not in DECIDABLE:
            raise ConfigError(
                f"watches.{name}.model: {model.file.path} is of kind {model.kind!r}, which names no class; "
                f'use a model of kind {" or ".join(DECIDABLE)}, or output = "embedding"'
            )
        self.name = name
        self.config = config
        self.model = model
        self._rules = Rules(hold_s=config.hold_s, hold_frames=config.hold_frames, min_score=config.min_score)
        self._decision = Decision()
        self._interval_s = config.interval_s
        self._next_s = 0.0  # frames' clocks begin at 0 at the earliest, so the first frame is always looked at
        self._looked_s: float | None = None
        self._asked: list[Future[Answer | Embedded]] = []
        self._awaited: deque[list[Future[Answer | Embedded]]] = deque()  # of each look that has no answer yet
        self.paused = False

    @property
    def due_s(self) -> float:
        """When it wants to look again, on the frames' clock; minus infinity where it looks at every frame."""
        if self._asked:
            return 0.0
        if self.paused:
            return math.inf
        return self._next_s if self._interval_s else -math.inf

    @property
    def interval_s(self) -> float:
        """How often it looks; 0 is at every frame."""
        return self._interval_s

    def set_interval(self, interval_s: float) -> None:
        """Look in another interval until the next start; the configuration stays as it is."""
        self._interval_s = interval_s
        if self._looked_s is not None:
            self._next_s = self._looked_s + interval_s

    def pause(self) -> None:
        """Look no more, unless asked; what is decided stays."""
        self.paused = True

    def resume(self) -> None:
        """Look again as before."""
        self.paused = False

    def ask(self, answer: Future[Answer | Embedded]) -> None:
        """Give one answer out of turn, paused or not: of the next frame."""
        self._asked.append(answer)

    def forget_asks(self) -> None:
        """Cancel what was asked for and not answered."""
        for answer in (*self._asked, *itertools.chain.from_iterable(self._awaited)):
            answer.cancel()
        self._asked.clear()
        self._awaited.clear()

    def look(self, frame: Frame) -> npt.NDArray[Any]:
        """Prepare what the model is to be asked about a frame, ``(H, W, C)``, and plan the next look."""
        self._plan_next(frame.clock_s)
        self._awaited.append(self._asked)
        self._asked = []
        return self.model.prepare(frame.image, roi=self.config.roi)

    def take(self, frame: Frame, prediction: Prediction) -> Answer | Embedded:
        """Take what the model said of the frame of the first ``look`` that has no answer yet, and decide.

        Who has asked for an answer gets it.
        """
        answer = self._decided(frame, prediction)
        for future in self._awaited.popleft():
            if future.set_running_or_notify_cancel():
                future.set_result(answer)
        return answer

    def _decided(self, frame: Frame, prediction: Prediction) -> Answer | Embedded:
        if self.embeds and prediction.embedding is not None:
            return Embedded(self, frame, unit(prediction.embedding) if self.config.l2 else prediction.embedding)
        before = self._decision
        self._decision = decide(before, prediction.label, prediction.score, frame.clock_s, self._rules)
        label = self._decision.label
        score = prediction.score if label in (None, UNKNOWN) else prediction.score_of(label)
        return Answer(self, frame, prediction, label, before.label, score)

    def _plan_next(self, clock_s: float) -> None:
        """Keep the beat: the next look is one interval after this one was due, unless that has passed as well."""
        self._looked_s = clock_s
        if clock_s < self._next_s:
            return  # a look out of turn leaves the beat as it is
        on_beat_s = self._next_s + self._interval_s
        self._next_s = on_beat_s if on_beat_s > clock_s else clock_s + self._interval_s
