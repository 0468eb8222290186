"""From single answers to a state that a subscriber can trust. Pure: time comes with each answer."""

from __future__ import annotations

from dataclasses import dataclass

from edge.answer import UNKNOWN


@dataclass(frozen=True, slots=True)
class Rules:
    """When an answer becomes the state.

    Attributes:
        hold_s: it must have been the same for this long…
        hold_frames: …and in this many answers in a row.
        min_score: below this score an answer is ``unknown``; 0…1.
    """

    hold_s: float = 0.0
    hold_frames: int = 1
    min_score: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided so far.

    Attributes:
        label: the state; ``None`` before the first.
        candidate: an answer that differs from the state and has yet to hold.
        since_s: when the candidate was first seen.
        count: how many answers in a row it has been.
    """

    label: str | None = None
    candidate: str | None = None
    since_s: float = 0.0
    count: int = 0


def decide(before: Decision, label: str, score: float, clock_s: float, rules: Rules) -> Decision:
    """Take in one answer; the state has changed if ``label`` of the result differs from that of ``before``.

    Args:
        before: the decision so far.
        label: the answer's top class.
        score: of that class, 0…1; what is no number counts as too low.
        clock_s: when the frame was taken, on a clock that does not jump.
        rules: of the watch.
    """
    answer = label if score >= rules.min_score else UNKNOWN
    if answer == before.label:
        return Decision(label=before.label)
    same = answer == before.candidate
    since_s, count = (before.since_s, before.count + 1) if same else (clock_s, 1)
    if count >= rules.hold_frames and clock_s - since_s >= rules.hold_s:
        return Decision(label=answer)
    return Decision(label=before.label, candidate=answer, since_s=since_s, count=count)
