"""When the gate in front of a model opens."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import frame, photograph

from edge.config import MotionConfig
from edge.watch.motion import CELLS_PX, MotionGate, changed_area, difference, thumbnail


def test_a_still_scene_with_a_cameras_noise_keeps_it_shut() -> None:
    gate = MotionGate(MotionConfig(), 0.0)
    still = photograph(3, 360, 640)
    noise = np.random.default_rng(0)
    opened = [
        gate.lets_through(np.clip(still + noise.normal(0, 6, still.shape), 0, 255).astype(np.uint8), number / 10)
        for number in range(100)
    ]
    assert opened == [True] * 21 + [False] * 79, "the first look, and the two seconds that the gate is kept open"


def test_what_moves_opens_it_and_it_stays_open_until_an_answer_can_settle() -> None:
    gate = MotionGate(MotionConfig(keep_s=1.0), settle_s=2.0)
    before, after = frame(0), frame(60)
    assert gate.lets_through(before, 0.0)
    assert not gate.lets_through(before, 10.0)
    opened = [gate.lets_through(after, 11.0 + step) for step in range(6)]
    assert opened == [True, True, True, True, False, False]


def test_what_changes_slowly_opens_it_in_the_end() -> None:
    gate = MotionGate(MotionConfig(keep_s=0.0), 0.0)
    image = np.full((90, 160, 3), 60, np.uint8)
    opened = [gate.lets_through(image + np.uint8(level), float(level)) for level in range(40)]
    assert [level for level, was in enumerate(opened) if was] == [0, 13, 26, 39]


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (64, 64), (9, 300), (1, 1)])
def test_a_thumbnail_is_small_whatever_the_region(width: int, height: int) -> None:
    cells = thumbnail(np.zeros((height, width, 3), np.uint8))
    assert max(cells.shape) <= CELLS_PX
    assert min(cells.shape) >= 1


def test_the_area_is_that_of_the_region() -> None:
    before, after = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    after[:5, :2] = 20
    levels = difference(after, before)
    assert changed_area(levels, 12) == pytest.approx(0.1)
    assert changed_area(levels, 20) == 0.0
    assert changed_area(levels, 12, coverage=0.5) == pytest.approx(0.2)
