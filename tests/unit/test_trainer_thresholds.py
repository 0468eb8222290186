"""Thresholds from validation pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.thresholds import HIGHEST, LOWEST, best_f1, per_label, youden


def test_a_threshold_lies_in_the_middle_of_the_gap() -> None:
    assert youden(np.array([0.1, 0.2, 0.6, 0.7]), np.array([False, False, True, True])) == pytest.approx(0.4)


def test_youden_does_not_depend_on_how_many_pictures_show_what() -> None:
    rng = np.random.default_rng(0)
    no, yes = rng.beta(2, 5, 300), rng.beta(5, 2, 300)
    balanced = youden(np.concatenate([no, yes]), np.arange(600) >= 300)
    rare = youden(np.concatenate([np.tile(no, 20), yes]), np.arange(6300) >= 6000)
    assert rare == pytest.approx(balanced, abs=0.02)


def test_f1_heeds_how_rare_a_label_is() -> None:
    rng = np.random.default_rng(0)
    no, yes = rng.beta(2, 5, 300), rng.beta(5, 2, 300)
    balanced = best_f1(np.concatenate([no, yes]), np.arange(600) >= 300)
    rare = best_f1(np.concatenate([np.tile(no, 20), yes]), np.arange(6300) >= 6000)
    assert rare > balanced + 0.05


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_no_other_cut_is_better(pairs: list[tuple[float, bool]]) -> None:
    scores, truth = np.array([score for score, _ in pairs]), np.array([yes for _, yes in pairs])
    threshold = youden(scores, truth)
    if truth.all() or not truth.any():
        assert threshold == 0.5
        return
    assert LOWEST <= threshold <= HIGHEST

    def merit(cut: float) -> float:
        return float((scores[truth] >= cut).mean() - (scores[~truth] >= cut).mean())

    inside = [cut for cut in np.unique(np.concatenate([scores, scores + 1e-9])) if LOWEST <= cut <= HIGHEST]
    if LOWEST < threshold < HIGHEST:
        assert all(merit(threshold) >= merit(float(cut)) - 1e-9 for cut in inside)


def test_every_label_gets_its_own() -> None:
    scores = np.array([[0.9, 0.2], [0.8, 0.1], [0.1, 0.3], [0.2, 0.1]])
    targets = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], np.float32)
    assert per_label(scores, targets, ("a", "b")) == {"a": 0.5, "b": 0.15}
