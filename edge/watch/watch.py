"""A watch: a question asked of a camera, again and again."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from edge.answer import STALE, UNKNOWN, sureness
from edge.decision import Decision, Rules, Visits, begin_anew, decide, dwell_s, lose
from edge.errors import ConfigError, SightpostError
from edge.runtime import EMBEDDING
from edge.value import Value
from edge.vectors import unit
from edge.watch.cadence import OFF_SCHEDULE, ON_COMMAND, PAUSED, Cadence
from edge.watch.drift import POOLED, Drift
from edge.watch.motion import MotionGate
from edge.watch.outcome import Answer, Embedded, Tally
from edge.watch.region import Region
from edge.watch.schedule import Schedule
from edge.watch.taught import Taught

if TYPE_CHECKING:
    import time
    from collections.abc import Mapping
    from concurrent.futures import Future

    import numpy.typing as npt

    from edge.config import WatchConfig
    from edge.frame import Frame, Image
    from edge.model import Model, Prediction
    from edge.model_card import Kind
    from edge.watch.lessons import Lessons

NOTHING_TAUGHT = "nothing is taught yet; see sightpost teach"
DECIDABLE = ("classify", "binary", "multilabel")


class _Pending(Value, frozen=True):
    """A look that the model is asked about: who wants to know, and why it is worth nothing, if it is."""

    asked: list[Future[Answer | Embedded]]
    untrusted: str | None


class Watch:
    """Region, model, cadence and decision of one question. One thread at a time."""

    def __init__(self, name: str, config: WatchConfig, model: Model, lessons: Lessons | None = None) -> None:
        """Join a watch with its model, and one of kind ``teach`` with its lessons.

        Raises:
            ConfigError: the model does not give what the watch needs.
        """
        teaches = lessons is not None
        self.embeds = config.output == "embedding" or (
            config.output == "auto" and model.kind == "embed" and not teaches
        )
        _check_output(name, model, needs_vectors=self.embeds or teaches)
        if not teaches:
            _check_labels(name, config, model)
        self._lessons = lessons
        self._taught = Taught()
        self._unteachable: str | None = None
        self.kind: Kind = "classify" if teaches else model.kind
        self.name = name
        self.config = config
        self.model = model
        self.region = Region.of(name, config)
        self.cadence = Cadence(config.interval_s)
        self.tally = Tally()
        self.drift = Drift(None if teaches or model.file.card is None else model.file.card.reference)
        self._rules = rules_of(config, self.kind, {} if teaches else model.thresholds)
        self._decision = Decision()
        self._schedule = Schedule.parse(config.schedule)
        self._gate = MotionGate(config.motion, 2 * config.smooth_s) if config.cadence == "motion" else None
        self._asked: list[Future[Answer | Embedded]] = []
        self._pending: deque[_Pending] = deque()  # looks that have no answer yet
        self._answered_s: float | None = None
        if config.cadence == "command":
            self.cadence.rest(ON_COMMAND)

    @property
    def labels(self) -> tuple[str, ...]:
        """What it can answer, but for ``unknown`` and ``stale``."""
        return self._taught.labels if self._lessons else self.model.labels

    @property
    def due_s(self) -> float:
        """When it wants to look, on the frames' clock: minus infinity is at every frame, infinity not at all."""
        return 0.0 if self._asked else self.cadence.due_s

    @property
    def state(self) -> str | None:
        """What is decided so far."""
        return self._decision.label

    @property
    def paused(self) -> bool:
        """Whether it was paused and not resumed."""
        return self.cadence.resting == PAUSED

    def pause(self) -> None:
        """Look no more, unless asked; what is decided stays."""
        self.cadence.rest(PAUSED)

    def resume(self) -> None:
        """Look again as before."""
        self.cadence.wake(PAUSED)

    def set_interval(self, interval_s: float) -> None:
        """Look in another interval until the next start; the configuration stays as it is."""
        self.cadence.set_interval(interval_s)

    @property
    def is_asked(self) -> bool:
        """Whether somebody waits for an answer out of turn."""
        return bool(self._asked)

    def ask(self, answer: Future[Answer | Embedded]) -> None:
        """Give one answer out of turn, paused or not: of the next frame."""
        self._asked = [each for each in self._asked if not each.done()]  # given up while the camera showed nothing
        self._asked.append(answer)

    def forget_asks(self) -> None:
        """Cancel what was asked for and not answered."""
        for answer in (*self._asked, *(answer for pending in self._pending for answer in pending.asked)):
            answer.cancel()
        self._asked.clear()
        self._pending.clear()

    def look(self, frame: Frame, *, untrusted: str | None = None) -> npt.NDArray[Any] | Answer | None:
        """Plan the next look, and prepare what the model is to be asked about a frame.

        Args:
            frame: of its camera.
            untrusted: why the frame is worth nothing; the state is ``stale`` then, and the model is not asked unless a
                person wants to know.

        Returns:
            The picture for the model, ``(H, W, C)``, whose answer is to be given to ``take``; an answer where none is
            needed; ``None`` where there is nothing to say: nothing has moved.
        """
        self.cadence.looked(frame.clock_s, frame.number)
        asked, self._asked = self._asked, []
        try:
            image = self.region.cut(frame.image)
        except ConfigError as error:  # the camera has another size than its pixels were chosen for
            return self._refused(frame, str(error), asked)
        if untrusted and not asked:
            return self._refused(frame, untrusted, asked)
        if not asked and not self._is_worth_it(image, frame):
            self.tally.still += 1
            return None
        self._pending.append(_Pending(asked, untrusted))
        picture = self.model.prepare(image)
        return picture.copy() if self.region.is_reused and np.may_share_memory(picture, image) else picture

    def take(self, frame: Frame, prediction: Prediction) -> Answer | Embedded:
        """Take what the model said of the frame of the first ``look`` that has no answer yet, and decide.

        Who has asked for an answer gets it.
        """
        pending = self._pending.popleft()
        answer = self._answer(frame, prediction, pending.untrusted)
        _give(pending.asked, answer)
        return answer

    def lose_sight(self, reason: str, clock_s: float) -> Answer | None:
        """The camera shows nothing: the state is ``stale``; ``None`` where it has been so already."""
        answer = self._lost(reason, clock_s, None)
        return answer if answer and answer.changed else None

    def follow(self, local: time.struct_time) -> None:
        """Look or rest as the schedule says, and learn what was taught; ``local`` is the time of day."""
        if self._lessons is not None and self._lessons.has_changed():
            self._learn(self._lessons)
        if self._schedule.is_open(local):
            self.cadence.wake(OFF_SCHEDULE)
        else:
            self.cadence.rest(OFF_SCHEDULE)

    def age(self, now_s: float) -> Answer | None:
        """Let an answer that is older than ``max_age_s`` become ``stale``; now is on the frames' clock."""
        max_age_s = self.config.max_age_s
        if self._answered_s is None:
            self._answered_s = now_s  # what an earlier run has said grows old from the start on
        if max_age_s is None or now_s - self._answered_s <= max_age_s:
            return None
        return self.lose_sight(self.cadence.resting or f"no answer for {max_age_s:g} s", now_s)

    def _is_worth_it(self, image: Image, frame: Frame) -> bool:
        """Whether something has moved, an answer has yet to become the state, or the last one grows old."""
        if self._gate is None:
            return True
        wanted = self._is_undecided or self._grows_old(frame.clock_s + self.cadence.interval_s)
        return self._gate.lets_through(image, frame.clock_s, self.region.coverage(frame.image), wanted=wanted)

    @property
    def _is_undecided(self) -> bool:
        """Whether more looks at the same could change the state."""
        return not self.embeds and bool(self.labels) and not self._decision.is_settled

    def _grows_old(self, next_s: float) -> bool:
        """Whether half of ``max_age_s`` will have passed before the next look."""
        max_age_s = self.config.max_age_s
        return max_age_s is not None and next_s - (self._answered_s or 0.0) > max_age_s / 2

    def _answer(self, frame: Frame, prediction: Prediction, untrusted: str | None) -> Answer | Embedded:
        self.tally.looks += 1
        if self._lessons is None and not untrusted and self.drift.wants(frame.clock_s):
            self._compare(prediction, frame.clock_s)
        if self.embeds and prediction.embedding is not None:
            self._answered_s = frame.clock_s
            return Embedded(self, frame, unit(prediction.embedding) if self.config.l2 else prediction.embedding)
        said = prediction if self._lessons is None else self._recall(prediction.embedding)
        if untrusted:
            return self._judged(lose(self._decision, untrusted, frame.clock_s), frame, said)
        if said is None:
            reason = self._unteachable or NOTHING_TAUGHT
            lost = self._judged(lose(self._decision, reason, frame.clock_s), frame, None)
            return replace(lost, embedding=prediction.embedding)
        self._answered_s = frame.clock_s
        after = decide(self._decision, said, frame.clock_s, self._rules)
        self.tally.unknown += after.recent[-1] == UNKNOWN
        return replace(self._judged(after, frame, after.seen), embedding=prediction.embedding)

    def _recall(self, embedding: npt.NDArray[np.float32] | None) -> Prediction | None:
        """What it was taught that is like this; ``None`` where it was taught nothing."""
        return None if embedding is None or not self._taught.labels else self._taught.answer(embedding)

    def _compare(self, prediction: Prediction, clock_s: float) -> None:
        """Count a look for the question whether pictures are still like those in training."""
        if not prediction.scores.size:
            self.drift.see(POOLED, {"likeness": self.model.likeness(prediction.embedding)}, clock_s)
            return
        values = {"score": sureness(self.model.kind, prediction.scores)}
        if self.model.known is not None:
            values["likeness"] = self.model.known.value(prediction.scores, prediction.embedding)
        best = prediction.labels[int(np.argmax(prediction.scores))]
        self.drift.see(POOLED if self.model.kind == "multilabel" else best, values, clock_s)

    def _refused(self, frame: Frame, reason: str, asked: list[Future[Answer | Embedded]]) -> Answer | None:
        self.tally.untrusted += 1
        answer = self._lost(reason, frame.clock_s, frame)
        _give(asked, answer)
        return answer

    def _learn(self, lessons: Lessons) -> None:
        try:
            self._taught, self._unteachable = lessons.taught(), None
        except SightpostError as error:
            self._taught, self._unteachable = Taught(), str(error)
        self._decision = begin_anew(self._decision)  # its labels may be others

    def _lost(self, reason: str, clock_s: float, frame: Frame | None) -> Answer | None:
        if self.embeds:
            return None
        return self._judged(lose(self._decision, reason, clock_s), frame, None)

    def _judged(self, after: Decision, frame: Frame | None, prediction: Prediction | None) -> Answer:
        before, self._decision = self._decision, after
        clock_s = frame.clock_s if frame else after.entered_s
        return Answer(
            self,
            frame,
            prediction,
            after.label,
            before.label,
            _score(after, prediction),
            after.reason,
            dwell_s(before, clock_s),
            after.visits.get(after.label or "", Visits()),
        )


def rules_of(config: WatchConfig, kind: Kind, thresholds: Mapping[str, float]) -> Rules:
    """The rules by which a watch decides; the last two are the model's."""
    return Rules(
        kind=kind,
        thresholds=thresholds,
        smooth_s=config.smooth_s,
        majority=config.majority,
        min_score=config.min_score,
        min_scores=config.min_scores,
        leave_score=config.leave_score,
        hold_s=config.hold_s,
        hold_frames=config.hold_frames,
        cooldown_s=config.cooldown_s,
    )


def _score(decision: Decision, prediction: Prediction | None) -> float:
    if prediction is None or decision.label == STALE:
        return math.nan
    if decision.label in (None, UNKNOWN):
        return prediction.score
    try:
        return prediction.score_of(decision.label)
    except KeyError:  # it was forgotten, and what comes after it has yet to hold
        return math.nan


def _give(asked: list[Future[Answer | Embedded]], answer: Answer | Embedded | None) -> None:
    for future in asked:
        if answer is None:
            future.cancel()
        elif future.set_running_or_notify_cancel():
            future.set_result(answer)


def _check_output(name: str, model: Model, *, needs_vectors: bool) -> None:
    if needs_vectors and EMBEDDING not in model.engine.outputs:
        raise ConfigError(
            f"watches.{name}.output: {model.file.path} gives no feature vectors; use a model of kind 'embed', "
            'or output = "answer" and a kind that is not "teach"'
        )
    if not needs_vectors and model.kind not in DECIDABLE:
        raise ConfigError(
            f"watches.{name}.model: {model.file.path} is of kind {model.kind!r}, which names no class; "
            f'use a model of kind {" or ".join(DECIDABLE)}, or output = "embedding"'
        )


def _check_labels(name: str, config: WatchConfig, model: Model) -> None:
    for label in config.min_scores:
        if label in model.labels:
            continue
        raise ConfigError(
            f"watches.{name}.min_scores: {model.file.path} knows no label {label!r}; "
            f"its labels are {', '.join(model.labels[:20])}"
        )
