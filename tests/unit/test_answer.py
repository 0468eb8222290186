"""What scores mean: thresholds, several labels, and the picture that is like none of the classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.answer import Known, chosen
from edge.model import Prediction
from edge.model_card import UnknownRule
from edge.vectors import pack

LABELS = ("cat", "dog", "owl")


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_classify_answers_with_the_best_class() -> None:
    assert chosen("classify", LABELS, scores(0.2, 0.5, 0.3), {}) == ("dog",)


@pytest.mark.parametrize(("yes", "answer"), [(0.29, "shut"), (0.3, "open"), (0.9, "open")])
def test_a_binary_model_goes_by_its_threshold(yes: float, answer: str) -> None:
    thresholds = {"open": float(np.float32(0.3))}
    assert chosen("binary", ("shut", "open"), scores(1 - yes, yes), thresholds) == (answer,)


def test_a_binary_model_without_a_threshold_goes_by_a_half() -> None:
    assert chosen("binary", ("shut", "open"), scores(0.4, 0.6), {}) == ("open",)


def test_a_multilabel_model_names_all_that_reach_their_threshold() -> None:
    assert chosen("multilabel", LABELS, scores(0.6, 0.4, 0.9), {"dog": 0.35, "owl": 0.95}) == ("cat", "dog")


def prediction(kind: str, *values: float, known: bool = True) -> Prediction:
    row = scores(*values)
    return Prediction(LABELS, row, None, chosen(kind, LABELS, row, {}), known)  # type: ignore[arg-type]


def test_several_labels_are_one_answer_with_the_weakest_score() -> None:
    both = prediction("multilabel", 0.6, 0.1, 0.9)
    assert (both.label, both.score) == ("cat + owl", pytest.approx(0.6))


def test_what_is_shown_holds_every_label_of_the_answer() -> None:
    both = prediction("multilabel", 0.6, 0.1, 0.9)
    assert [label for label, _ in both.shown(1)] == ["owl", "cat"]
    assert [label for label, _ in both.shown(3)] == ["owl", "cat", "dog"]
    assert [label for label, _ in prediction("multilabel", 0.1, 0.3, 0.2).shown(1)] == ["dog"]


def test_no_label_is_an_answer_too() -> None:
    nothing = prediction("multilabel", 0.1, 0.3, 0.2)
    assert (nothing.label, nothing.score) == ("none", pytest.approx(0.7))


def test_an_unknown_picture_is_unknown_and_keeps_its_best_score() -> None:
    strange = prediction("classify", 0.1, 0.7, 0.2, known=False)
    assert (strange.label, strange.score) == ("unknown", pytest.approx(0.7))


CENTERS = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


def centers_rule(threshold: float) -> UnknownRule:
    return UnknownRule(method="centers", threshold=threshold, arrays={"centers": pack(CENTERS, "int8")})


@pytest.mark.parametrize(
    ("embedding", "known"), [((5, 0.1, 0), True), ((0, 0.2, 0.01), True), ((0, 0, 3), False), ((0, 0, 0), False)]
)
def test_a_picture_far_from_every_center_is_unknown_however_sure_its_scores(
    *, embedding: tuple[float, ...], known: bool
) -> None:
    rule = Known.of(centers_rule(0.8))
    assert rule.knows(scores(1.0, 0.0), np.array(embedding, np.float32)) is known


@given(st.floats(0.01, 1e4))
def test_the_length_of_an_embedding_says_nothing(length: float) -> None:
    rule = Known.of(centers_rule(0.5))
    vector = np.array([3, 1, 2], np.float32)
    assert rule.value(scores(1), vector * np.float32(length)) == pytest.approx(rule.value(scores(1), vector), rel=1e-4)


def test_a_score_rule_needs_no_embedding() -> None:
    rule = Known.of(UnknownRule(method="max_score", threshold=0.6))
    assert (rule.knows(scores(0.7, 0.3), None), rule.knows(scores(0.5, 0.5), None)) == (True, False)


def test_what_is_no_number_is_unknown() -> None:
    assert not Known.of(centers_rule(0.5)).knows(scores(1), np.array([np.nan, 0, 0], np.float32))


def test_a_rule_without_its_centers_is_refused() -> None:
    with pytest.raises(ValueError, match="no class centres"):
        Known.of(UnknownRule(method="centers", threshold=0.5))
