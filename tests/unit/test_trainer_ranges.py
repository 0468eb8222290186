"""Ranges of activations: far values are clipped where that pays, and only there."""

from __future__ import annotations

import numpy as np

from trainer.ranges import Range, as_statistics, best_range


def error(values: np.ndarray, chosen: Range) -> float:
    step = (chosen.high - chosen.low) / 255
    zero = np.rint(-chosen.low / step)
    quantized = np.clip(np.rint(values / step) + zero, 0, 255)
    return float(np.square((quantized - zero) * step - values).mean())


def test_heavy_tails_are_clipped_and_the_error_falls() -> None:
    values = np.random.default_rng(0).laplace(0, 1, 100_000).astype(np.float32)
    whole = Range(float(values.min()), float(values.max()))
    chosen = best_range(values, whole.low, whole.high)
    assert whole.low < chosen.low < 0 < chosen.high < whole.high
    assert error(values, chosen) < 0.9 * error(values, whole)


def test_even_values_keep_their_whole_range() -> None:
    values = np.random.default_rng(0).uniform(0, 6, 50_000).astype(np.float32)
    assert best_range(values, 0.0, 6.0) == Range(0.0, 6.0)


def test_few_values_keep_all_that_was_seen() -> None:
    values = np.array([0.0, 1.0, 100.0], np.float32)
    assert best_range(values, 0.0, 100.0) == Range(0.0, 100.0)


def test_a_constant_tensor_has_a_range() -> None:
    assert best_range(np.zeros(20_000, np.float32), 0.0, 0.0) == Range(0.0, 0.0)


def test_statistics_have_the_quantizers_form() -> None:
    found = as_statistics({"x": Range(-1.0, 2.0)})
    assert (found["x"]["min"].item(), found["x"]["max"].item()) == (-1.0, 2.0)
