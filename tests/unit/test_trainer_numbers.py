"""Calibration, metrics, golden samples, augmentation: the numbers that people will trust."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.model_card import InputSpec
from trainer import golden
from trainer.augment import augmented, measure_framing
from trainer.calibrate import best_temperature, expected_calibration_error, softmax
from trainer.evaluate import Evaluation, agreement, wilson_interval
from trainer.recipe import AugmentRecipe


def overconfident(factor: float, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax was right about as often as it says, sharpened by a factor."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (count, 3)).astype(np.float32)
    scores = softmax(logits)
    labels = np.array([rng.choice(3, p=row) for row in scores])
    return logits * np.float32(factor), labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_over_and_underconfidence(factor: float) -> None:
    logits, labels = overconfident(factor)
    assert best_temperature(logits, labels) == pytest.approx(factor, rel=0.1)


def test_calibration_lowers_the_calibration_error() -> None:
    logits, labels = overconfident(4.0)
    before = expected_calibration_error(softmax(logits), labels)
    after = expected_calibration_error(softmax(logits / np.float32(best_temperature(logits, labels))), labels)
    assert after < 0.03
    assert before > 0.1


def test_a_few_pictures_that_are_all_right_justify_no_certainty() -> None:
    logits = np.eye(3, dtype=np.float32)[np.arange(12) % 3] * 8
    labels = np.arange(12) % 3
    scores = softmax(logits / np.float32(best_temperature(logits, labels)))
    assert scores.max() < 0.95


def test_wilson_agrees_with_published_values() -> None:
    # Newcombe 1998, table I: 81 of 263 and 15 of 148, Wilson score without continuity correction.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)


@given(st.integers(0, 500), st.integers(0, 500))
def test_an_interval_holds_the_share_it_is_about(hits: int, misses: int) -> None:
    low, high = wilson_interval(hits, hits + misses)
    assert 0 <= low <= high <= 1
    if hits + misses:
        assert low - 1e-9 <= hits / (hits + misses) <= high + 1e-9


def evaluation(scores: list[list[float]], truth: list[int]) -> Evaluation:
    return Evaluation(("a", "b"), np.array(scores), np.array(truth), latency_ms=1.0)


def test_a_summary_counts_per_class() -> None:
    summary = evaluation([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], [0, 0, 1, 1]).summary()
    assert summary["accuracy"] == 0.75
    kept = ("pictures", "recall", "precision")
    rows = {label: {key: row[key] for key in kept} for label, row in summary["per_class"].items()}
    assert rows == {
        "a": {"pictures": 2, "recall": 1.0, "precision": 0.6667},
        "b": {"pictures": 2, "recall": 0.5, "precision": 1.0},
    }


def test_agreement_compares_answers_not_scores() -> None:
    first = evaluation([[0.9, 0.1], [0.4, 0.6]], [0, 1])
    second = evaluation([[0.6, 0.4], [0.6, 0.4]], [0, 1])
    assert agreement(first, second) == 0.5


def test_golden_samples_are_sensitive_and_typical() -> None:
    scores = [[0.99, 0.01], [0.51, 0.49], [0.02, 0.98], [0.45, 0.55], [0.9, 0.1]]
    chosen = golden.choose(evaluation(scores, [0, 0, 1, 1, 0]), count=4)
    assert len(set(chosen)) == 4
    assert {1, 3} <= set(chosen), "those near the boundary are there"
    assert {0, 2} <= set(chosen), "a sure one of each class is there"


def test_one_held_out_picture_is_enough_for_golden_samples() -> None:
    assert golden.choose(evaluation([[0.9, 0.1]], [0])) == [0]


SPEC = InputSpec(height_px=32, width_px=32)
PICTURE = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)


def test_augmentation_follows_its_generator() -> None:
    recipe = AugmentRecipe()
    same = [augmented(PICTURE, SPEC, recipe, np.random.default_rng(3)) for _ in range(2)]
    other = augmented(PICTURE, SPEC, recipe, np.random.default_rng(4))
    assert np.array_equal(same[0], same[1])
    assert not np.array_equal(same[0], other)
    assert other.shape == (32, 32, 3)
    assert other.dtype == np.uint8


def test_a_fixed_scene_is_told_from_photographs() -> None:
    rng = np.random.default_rng(2)
    scene = [np.clip(PICTURE.astype(int) + rng.integers(-20, 20), 0, 255).astype(np.uint8) for _ in range(6)]
    photographs = [rng.integers(0, 256, (60, 80, 3), np.uint8) for _ in range(6)]
    fixed, free = measure_framing(scene), measure_framing(photographs)
    assert fixed.is_fixed
    assert not free.is_fixed
    assert (fixed.settle(AugmentRecipe()).flip, fixed.settle(AugmentRecipe()).crop) == (False, 1.0)
    assert free.settle(AugmentRecipe()).flip
    assert free.settle(AugmentRecipe(flip=False, crop=0.9)).flip is False
    assert (fixed.settle(AugmentRecipe()).turn_deg, free.settle(AugmentRecipe()).turn_deg) == (0.0, 30.0)
    assert fixed.settle(AugmentRecipe(turn_deg=5)).turn_deg == 5


def test_a_view_is_turned_about_its_middle_by_no_more_than_the_recipe_says() -> None:
    height, width = 90, 120
    image = np.zeros((height, width, 3), np.uint8)
    image[45:50, 60:120] = 255  # a hand that points to the right
    recipe = AugmentRecipe(turn_deg=30, light=0, color=0, shift=0, noise=0, blur=0)
    spec = InputSpec(height_px=height, width_px=width)
    angles_deg = []
    for seed in range(40):
        view = augmented(image, spec, recipe, np.random.default_rng(seed))
        assert view[45:50, 58:62].max() == 255, "the middle stays"
        rows, columns = np.nonzero(view[..., 0] > 127)
        hand = columns > 75
        angles_deg.append(np.degrees(np.arctan2(rows[hand].mean() - 47, columns[hand].mean() - 60)))
    assert -32 < min(angles_deg) < -20
    assert 20 < max(angles_deg) < 32


def test_augmentation_that_changes_nothing_is_what_the_device_sees() -> None:
    from edge.preprocess import prepare

    still = AugmentRecipe(light=0, color=0, shift=0, noise=0, blur=0)
    assert np.array_equal(augmented(PICTURE, SPEC, still, np.random.default_rng(0)), prepare(PICTURE, SPEC))
