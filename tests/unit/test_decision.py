"""When an answer becomes the state."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.answer import UNKNOWN
from edge.decision import Decision, Rules, decide

LABELS = st.sampled_from(["open", "shut", "blocked"])
ANSWERS = st.lists(st.tuples(LABELS, st.floats(0, 1), st.floats(0, 3)), max_size=60)


def run(answers: list[tuple[str, float, float]], rules: Rules) -> list[tuple[float, str]]:
    """Feed (label, score, seconds since the last answer); the changes of state and when."""
    decision, clock_s, changes = Decision(), 0.0, []
    for label, score, step_s in answers:
        clock_s += step_s
        after = decide(decision, label, score, clock_s, rules)
        if after.label is not None and after.label != decision.label:
            changes.append((clock_s, after.label))
        decision = after
    return changes


def test_without_rules_every_different_answer_is_a_change() -> None:
    answers = [("open", 0.9, 0), ("open", 0.8, 1), ("shut", 0.6, 1), ("open", 0.9, 1)]
    assert run(answers, Rules()) == [(0, "open"), (2, "shut"), (3, "open")]


def test_a_short_flicker_is_held_back() -> None:
    answers = [("open", 0.9, 0), ("open", 0.9, 1), ("shut", 0.9, 0.1), ("open", 0.9, 0.1), ("open", 0.9, 5)]
    assert run(answers, Rules(hold_s=0.5)) == [(1, "open")]


def test_a_candidate_must_hold_without_interruption() -> None:
    answers = [("open", 0.9, 0), ("shut", 0.9, 1), ("blocked", 0.9, 0.4), ("shut", 0.9, 0.4), ("shut", 0.9, 0.6)]
    changes = run(answers, Rules(hold_s=0.5))
    assert changes == [(pytest.approx(2.4), "shut")]


def test_hold_frames_counts_answers_in_a_row() -> None:
    answers = [("open", 0.9, 1)] * 2 + [("shut", 0.9, 1)] * 3
    assert run(answers, Rules(hold_frames=3)) == [(5, "shut")]


def test_both_holds_must_be_met() -> None:
    answers = [("open", 0.9, 0.1)] * 10
    assert run(answers, Rules(hold_s=0.5, hold_frames=2)) == [(pytest.approx(0.6), "open")]
    assert run(answers, Rules(hold_s=0.1, hold_frames=7)) == [(pytest.approx(0.7), "open")]


def test_a_low_score_is_unknown() -> None:
    assert run([("open", 0.4, 1), ("open", 0.6, 1)], Rules(min_score=0.5)) == [(1, UNKNOWN), (2, "open")]


def test_a_score_that_is_no_number_is_never_trusted() -> None:
    assert run([("open", math.nan, 1)], Rules(min_score=0.0)) == [(1, UNKNOWN)]


@given(ANSWERS, st.floats(0, 4), st.integers(1, 5), st.floats(0, 1))
def test_a_change_needs_what_the_rules_ask_for(
    answers: list[tuple[str, float, float]], hold_s: float, hold_frames: int, min_score: float
) -> None:
    times, seen, clock_s = [], [], 0.0
    for label, score, step_s in answers:
        clock_s += step_s
        times.append(clock_s)
        seen.append(label if score >= min_score else UNKNOWN)
    decision = Decision()
    for index, (label, score, _) in enumerate(answers):
        after = decide(decision, label, score, times[index], Rules(hold_s, hold_frames, min_score))
        if after.label != decision.label:
            run_start = index
            while run_start > 0 and seen[run_start - 1] == after.label:
                run_start -= 1
            assert after.label == seen[index]
            assert index - run_start + 1 >= hold_frames
            assert times[index] - times[run_start] >= hold_s
        decision = after


@given(ANSWERS, st.floats(0, 4), st.integers(1, 5))
def test_consecutive_changes_differ(answers: list[tuple[str, float, float]], hold_s: float, hold_frames: int) -> None:
    labels = [label for _, label in run(answers, Rules(hold_s, hold_frames))]
    assert all(first != second for first, second in itertools.pairwise(labels))
