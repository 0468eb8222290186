"""From single looks to a state that a subscriber can trust. Pure: time comes with each look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec.structs import replace

from edge.answer import JOINT, STALE, UNKNOWN, chosen
from edge.value import Value
from edge.watch.smoothing import Mean, majority, mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.model import Prediction
    from edge.model_card import Kind

NOT_LIKE_TRAINING = "unlike anything in training"
LOW_SCORE = "low score"
_VISITS_MAX = 1000  # labels of a multilabel model combine; the states longest not entered are forgotten


class Rules(Value, frozen=True):
    """When an answer becomes the state.

    Attributes:
        kind, thresholds: of the model.
        smooth_s: time constant of the scores' mean; 0 takes each look for itself.
        majority: how many of the last answers vote; 1 takes each for itself.
        min_score: below this score an answer is ``unknown``; 0…1.
        min_scores: likewise, of single labels; of a ``multilabel`` model it is at what score the label counts.
        leave_score: the state stays while its own score is at least this; ``None`` for no such advantage.
        hold_s: an answer must have been the same for this long…
        hold_frames: …and in this many looks in a row.
        cooldown_s: the state changes no sooner than this after its last change.
    """

    kind: Kind = "classify"
    thresholds: Mapping[str, float] = msgspec.field(default_factory=dict)
    smooth_s: float = 0.0
    majority: int = 1
    min_score: float = 0.0
    min_scores: Mapping[str, float] = msgspec.field(default_factory=dict)
    leave_score: float | None = None
    hold_s: float = 0.0
    hold_frames: int = 1
    cooldown_s: float = 0.0

    @property
    def takes_looks_as_they_are(self) -> bool:
        """Whether a look needs neither a mean nor another choice of its labels."""
        has_own_thresholds = self.kind == "multilabel" and bool(self.min_scores)
        return self.smooth_s == 0.0 and self.leave_score is None and not has_own_thresholds


class Visits(Value, frozen=True):
    """How often a state was entered, and how long it lasted altogether until it was last left."""

    count: int = 0
    total_s: float = 0.0


class Decision(Value, frozen=True):
    """What is decided so far.

    Attributes:
        label: the state; ``None`` before the first.
        reason: why it is ``unknown`` or ``stale``.
        entered_s: when it became the state.
        candidate: an answer that differs from the state and has yet to hold.
        since_s: when the candidate was first seen.
        count: how many looks in a row it has been.
        mean: of the scores.
        recent: the last answers, the oldest first, as many as vote.
        doubt: why the last of the answers that were ``unknown`` was so.
        seen: the last look as it was judged: with the mean of the scores.
        visits: by state, up to the present one's entry.
    """

    label: str | None = None
    reason: str | None = None
    entered_s: float = 0.0
    candidate: str | None = None
    since_s: float = 0.0
    count: int = 0
    mean: Mean | None = None
    recent: tuple[str, ...] = ()
    doubt: str | None = None
    seen: Prediction | None = None
    visits: Mapping[str, Visits] = msgspec.field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Whether the last answers were all what is decided, so that more of the same would change nothing."""
        return set(self.recent) == {self.label}


def decide(before: Decision, look: Prediction, clock_s: float, rules: Rules) -> Decision:
    """Take in one look; the state has changed if ``label`` of the result differs from that of ``before``.

    Args:
        before: the decision so far.
        look: scores of the classes, and whether they can be trusted; what is no number counts as too low.
        clock_s: when the frame was taken, on a clock that does not jump.
        rules: of the watch.
    """
    held = _held(before.label)
    smooth, seen = (None, look) if rules.takes_looks_as_they_are else _smoothed(before, look, held, clock_s, rules)
    answer, reason = _judged(seen, held, rules)
    doubt = reason or before.doubt
    recent: tuple[str, ...] = (answer,)
    if rules.majority > 1:
        recent = (*before.recent, answer)[-rules.majority :]
        answer = majority(recent, before.label)
    reason = doubt if answer == UNKNOWN else None
    label, entered_s, visits = before.label, before.entered_s, before.visits
    if answer == label:  # as nearly always: nothing is computed that is not needed
        return Decision(label, reason or before.reason, entered_s, None, 0.0, 0, smooth, recent, doubt, seen, visits)
    same = answer == before.candidate
    since_s, count = (before.since_s, before.count + 1) if same else (clock_s, 1)
    after = Decision(label, before.reason, entered_s, answer, since_s, count, smooth, recent, doubt, seen, visits)
    has_held = count >= rules.hold_frames and clock_s - since_s >= rules.hold_s
    return _entered(after, answer, reason, clock_s) if has_held and not _cools(before, clock_s, rules) else after


def lose(before: Decision, reason: str, clock_s: float) -> Decision:
    """There is nothing to trust any more: the state is ``stale`` at once, and what comes after begins anew."""
    is_lost = before.label == STALE
    return begin_anew(replace(before, reason=reason) if is_lost else _entered(before, STALE, reason, clock_s))


def begin_anew(before: Decision) -> Decision:
    """The state stays, but nothing that was seen so far counts for or against it."""
    return replace(before, candidate=None, since_s=0.0, count=0, mean=None, recent=(), doubt=None, seen=None)


def dwell_s(decision: Decision, clock_s: float) -> float:
    """How long the present state has lasted."""
    return max(0.0, clock_s - decision.entered_s)


def _smoothed(
    before: Decision, look: Prediction, held: tuple[str, ...], clock_s: float, rules: Rules
) -> tuple[Mean, Prediction]:
    """The look as it is seen through the mean, and by who is held."""
    smooth = mean(before.mean, look.scores, known=look.known, clock_s=clock_s, smooth_s=rules.smooth_s)
    picked = chosen(
        rules.kind, look.labels, smooth.scores, _thresholds(rules), held=held, leave_score=rules.leave_score
    )
    return smooth, replace(look, scores=smooth.scores.astype(np.float32), chosen=picked, known=smooth.is_known)


def _held(label: str | None) -> tuple[str, ...]:
    return () if label in (None, UNKNOWN, STALE) else tuple(label.split(JOINT))


def _thresholds(rules: Rules) -> Mapping[str, float]:
    return {**rules.thresholds, **rules.min_scores} if rules.kind == "multilabel" else rules.thresholds


def _judged(seen: Prediction, held: tuple[str, ...], rules: Rules) -> tuple[str, str | None]:
    """The answer of one look, and why it is ``unknown`` where it is."""
    if not seen.known:
        return UNKNOWN, NOT_LIKE_TRAINING
    label = seen.label
    for part in seen.parts_of(label):
        needed = rules.min_scores.get(part, rules.min_score)
        if rules.leave_score is not None and (part in held or label in held):
            needed = min(needed, rules.leave_score)
        if not seen.score_of(part) >= needed:  # written so that NaN is too low
            return UNKNOWN, LOW_SCORE
    return label, None


def _cools(before: Decision, clock_s: float, rules: Rules) -> bool:
    return before.label not in (None, STALE) and dwell_s(before, clock_s) < rules.cooldown_s


def _entered(before: Decision, label: str, reason: str | None, clock_s: float) -> Decision:
    visits = dict(before.visits)
    if before.label is not None:
        left = visits.get(before.label, Visits())
        visits[before.label] = replace(left, total_s=left.total_s + dwell_s(before, clock_s))
    entered = visits.pop(label, Visits())  # put last: what comes first was longest not entered
    visits[label] = replace(entered, count=entered.count + 1)
    while len(visits) > _VISITS_MAX:
        del visits[next(iter(visits))]
    return replace(
        before,
        label=label,
        reason=reason,
        entered_s=clock_s,
        candidate=None,
        count=0,
        visits=visits,
    )
