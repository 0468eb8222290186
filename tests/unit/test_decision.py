"""When an answer becomes the state."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.answer import STALE, UNKNOWN
from edge.decision import Decision, Rules, Visits, decide, dwell_s, lose
from edge.model import Prediction

NAMES = ("open", "shut", "blocked")
LABELS = st.sampled_from(NAMES)
ANSWERS = st.lists(st.tuples(LABELS, st.floats(2**-7, 1, width=32), st.floats(0, 3)), max_size=60)


def look(label: str, score: float = 0.9, *, known: bool = True) -> Prediction:
    """A look in which one class has a score and the others have none."""
    return Prediction(NAMES, np.array([score if name == label else 0.0 for name in NAMES], np.float32), known=known)


def looked(*scores: float) -> Prediction:
    return Prediction(NAMES[: len(scores)], np.array(scores, np.float32))


def run(answers: list[tuple[str, float, float]], rules: Rules) -> list[tuple[float, str]]:
    """Feed (label, score, seconds since the last answer); the changes of state and when."""
    decision, clock_s, changes = Decision(), 0.0, []
    for label, score, step_s in answers:
        clock_s += step_s
        after = decide(decision, look(label, score), clock_s, rules)
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
        after = decide(
            decision,
            look(label, score),
            times[index],
            Rules(hold_s=hold_s, hold_frames=hold_frames, min_score=min_score),
        )
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
    labels = [label for _, label in run(answers, Rules(hold_s=hold_s, hold_frames=hold_frames))]
    assert all(first != second for first, second in itertools.pairwise(labels))


def test_each_class_may_ask_for_a_score_of_its_own() -> None:
    rules = Rules(min_score=0.5, min_scores={"open": 0.8})
    answers = [("open", 0.7, 1), ("shut", 0.6, 1), ("open", 0.85, 1)]
    assert run(answers, rules) == [(1, UNKNOWN), (2, "shut"), (3, "open")]


def test_what_the_model_does_not_know_is_unknown_and_says_why() -> None:
    low = decide(Decision(), look("open", 0.3), 0.0, Rules(min_score=0.5))
    strange = decide(Decision(), look("open", 0.99, known=False), 0.0, Rules())
    assert (low.label, low.reason) == (UNKNOWN, "low score")
    assert (strange.label, strange.reason) == (UNKNOWN, "unlike anything in training")


def test_a_state_is_left_only_below_its_leave_score() -> None:
    rules, decision, states = Rules(leave_score=0.3), Decision(), []
    for number, score in enumerate((0.9, 0.45, 0.31, 0.29, 0.45, 0.69, 0.71)):
        decision = decide(decision, looked(score, 1 - score), float(number), rules)
        states.append(decision.label)
    assert states == ["open", "open", "open", "shut", "shut", "shut", "open"]


def test_each_label_of_many_is_entered_and_left_by_itself() -> None:
    rules = Rules(kind="multilabel", thresholds={"open": 0.6, "shut": 0.6}, leave_score=0.4)
    decision, states = Decision(), []
    for number, scores in enumerate([(0.7, 0.5), (0.5, 0.7), (0.3, 0.5), (0.5, 0.3)]):
        decision = decide(decision, looked(*scores), float(number), rules)
        states.append(decision.label)
    assert states == ["open", "open + shut", "shut", "none"]


def test_the_mean_of_the_scores_decides() -> None:
    rules, decision, states = Rules(smooth_s=2.0), Decision(), []
    for number, score in enumerate((1.0, 0.0, 1.0, 0.0, 0.0, 0.0)):
        decision = decide(decision, looked(score, 1 - score), float(number), rules)
        states.append(decision.label)
    assert states == ["open", "open", "open", "shut", "shut", "shut"], "a single other look does not change it"


def test_the_majority_of_the_last_looks_decides() -> None:
    answers = [(label, 0.9, 1.0) for label in ("open", "shut", "open", "shut", "shut", "open", "shut", "shut")]
    assert run(answers, Rules(majority=3)) == [(1, "open"), (4, "shut")]


def test_a_state_does_not_change_again_while_it_cools_down() -> None:
    answers = [("open", 0.9, 0), ("shut", 0.9, 1), ("shut", 0.9, 3.9), ("shut", 0.9, 0.1), ("open", 0.9, 4.9)]
    assert run(answers, Rules(cooldown_s=5)) == [(0, "open"), (5, "shut")]


def test_a_state_that_cannot_be_trusted_is_stale_at_once_and_begins_anew() -> None:
    rules = Rules(hold_s=1.0, cooldown_s=100.0, smooth_s=10.0)
    decision = Decision()
    for clock_s in (0.0, 1.0):
        decision = decide(decision, look("open"), clock_s, rules)
    lost = lose(decision, "dark", 2.0)
    assert (decision.label, lost.label, lost.reason) == ("open", STALE, "dark")
    assert lose(lost, "frozen", 3.0).entered_s == 2.0
    again = decide(lost, look("shut"), 10.0, rules)
    assert again.label == STALE, "it has to hold as any answer has"
    assert decide(again, look("shut"), 11.0, rules).label == "shut", "neither cooldown nor old scores are in the way"


@pytest.mark.parametrize("rules", [Rules(hold_s=5.0), Rules(hold_frames=3), Rules(majority=3), Rules(smooth_s=1e6)])
def test_what_was_seen_before_a_second_loss_of_sight_does_not_count_after_it(rules: Rules) -> None:
    lost = lose(Decision(), "dark", 0.0)
    once = decide(lost, look("open"), 10.0, rules)
    twice = lose(decide(once, look("open"), 11.0, rules), "dark", 12.0)
    back, first = (decide(before, look("open"), 1000.0, rules) for before in (twice, lost))
    assert (back.label, back.candidate, back.count, back.since_s) == (
        first.label, first.candidate, first.count, first.since_s
    )  # fmt: skip
    assert (back.recent, back.seen and back.seen.label) == (first.recent, first.seen and first.seen.label)


def test_an_unknown_that_is_voted_for_says_why_whatever_the_last_look_was() -> None:
    rules, decision = Rules(majority=3, hold_s=2.0), Decision("open")
    for clock_s, known in enumerate((False, False, True)):
        decision = decide(decision, look("open", known=known), float(clock_s), rules)
    assert (decision.label, decision.reason) == (UNKNOWN, "unlike anything in training")


def test_visits_and_their_length_are_counted() -> None:
    decision = Decision()
    for clock_s, label in ((0.0, "open"), (4.0, "open"), (5.0, "shut"), (7.0, "open")):
        decision = decide(decision, look(label), clock_s, Rules())
    assert decision.visits == {"open": Visits(2, 5.0), "shut": Visits(1, 2.0)}
    assert dwell_s(decision, 10.0) == 3.0


RULES = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["classify", "multilabel"]),
        "smooth_s": st.sampled_from([0.0, 0.5, 3.0]),
        "majority": st.integers(1, 5),
        "min_score": st.floats(0, 1),
        "leave_score": st.none() | st.floats(0, 1),
        "hold_s": st.floats(0, 3),
        "hold_frames": st.integers(1, 4),
        "cooldown_s": st.floats(0, 5),
    }
).map(lambda fields: Rules(**fields))
SCORES = st.tuples(*[st.floats(0, 1, width=32) | st.just(math.nan)] * 3)
STEPS = st.lists(st.tuples(st.none() | SCORES, st.booleans(), st.floats(0, 3)), max_size=40)


@given(STEPS, RULES)
def test_whatever_is_seen_the_books_are_right(
    steps: list[tuple[tuple[float, ...] | None, bool, float]], rules: Rules
) -> None:
    decision, clock_s, began_s, changes = Decision(), 0.0, 0.0, 0
    for scores, known, step_s in steps:
        clock_s += step_s
        if scores is None:
            after = lose(decision, "dark", clock_s)
        else:
            after = decide(decision, Prediction(NAMES, np.array(scores, np.float32), known=known), clock_s, rules)
        if after.label != decision.label:
            if decision.label is None:
                began_s = clock_s
            elif STALE not in (decision.label, after.label):
                assert clock_s - decision.entered_s >= rules.cooldown_s
            changes += 1
            assert after.entered_s == clock_s
        assert len(after.recent) <= rules.majority
        assert (after.reason is not None) == (after.label in (UNKNOWN, STALE))
        decision = after
    assert sum(visits.count for visits in decision.visits.values()) == changes
    if decision.label is not None:
        total_s = sum(visits.total_s for visits in decision.visits.values()) + dwell_s(decision, clock_s)
        assert total_s == pytest.approx(clock_s - began_s)


@given(st.lists(st.tuples(SCORES, st.floats(0, 3)), min_size=1, max_size=30), st.floats(0.1, 10))
def test_smoothed_scores_stay_between_those_that_were_seen(
    looks: list[tuple[tuple[float, ...], float]], smooth_s: float
) -> None:
    decision, clock_s, sound = Decision(), 0.0, []
    for scores, step_s in looks:
        clock_s += step_s
        row = np.array(scores, np.float32)
        decision = decide(decision, Prediction(NAMES, row), clock_s, Rules(smooth_s=smooth_s))
        if np.isfinite(row).all():
            sound.append(row)
        assert decision.seen is not None
        if sound:
            assert (decision.seen.scores >= np.min(sound, axis=0) - 1e-6).all()
            assert (decision.seen.scores <= np.max(sound, axis=0) + 1e-6).all()
