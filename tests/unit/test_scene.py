"""The simulated gate: reproducible, different in every frame, and tellable."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge.camera.scene import STATES, GateScene, GateState, render, write_pictures
from edge.errors import PictureError

if TYPE_CHECKING:
    from pathlib import Path

    from edge.frame import Image


def gateway(state: GateState, daylight: float, seed: int) -> Image:
    """The part of a small picture between the pillars."""
    picture = render(state, daylight=daylight, rng=np.random.default_rng(seed), width_px=320, height_px=180)
    return picture[64:120, 107:213]


@pytest.mark.parametrize("state", STATES)
def test_the_same_generator_gives_the_same_picture(state: GateState) -> None:
    first, second = (render(state, daylight=0.8, rng=np.random.default_rng(5)) for _ in range(2))
    assert first.shape == (360, 640, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    other = render(state, daylight=0.8, rng=np.random.default_rng(6))
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("width_px", "height_px"), [(64, 36), (321, 203), (1280, 720), (100, 400)])
def test_any_size_can_be_rendered(width_px: int, height_px: int) -> None:
    rng = np.random.default_rng(0)
    picture = render("blocked", daylight=0.0, rng=rng, width_px=width_px, height_px=height_px)
    assert picture.shape == (height_px, width_px, 3)


def test_night_is_darker_than_day_but_not_black() -> None:
    means = [float(np.mean(gateway("open", daylight, 1))) for daylight in (0.0, 0.4, 1.0)]
    assert 15 < means[0] < means[1] < means[2]


@pytest.mark.parametrize("daylight", [0.0, 0.3, 1.0])
def test_states_differ_more_than_pictures_of_one_state(daylight: float) -> None:
    """A nearest-neighbour comparison of small grey gateways tells the states, as a person would."""

    def glimpse(state: GateState, seed: int) -> np.ndarray:
        grey = cv2.cvtColor(gateway(state, daylight, seed), cv2.COLOR_BGR2GRAY)
        small = cv2.resize(grey, (24, 12), interpolation=cv2.INTER_AREA).astype(np.float64)
        return (small - small.mean()) / small.std()

    known = [(state, glimpse(state, seed)) for state in STATES for seed in range(20)]
    asked = [(state, glimpse(state, seed)) for state in STATES for seed in range(100, 120)]
    right = sum(
        state == min(known, key=lambda entry: float(np.square(entry[1] - picture).sum()))[0] for state, picture in asked
    )
    assert right >= 0.95 * len(asked)


def test_a_story_repeats_itself_exactly_and_shows_all_states_by_day_and_night() -> None:
    story = GateScene(3, 5.0)
    again = GateScene(3, 5.0)
    states = [story.state_at(number) for number in range(1500)]
    assert states == [again.state_at(number) for number in range(1500)]
    assert np.array_equal(story.frame(42), again.frame(42))
    seen = {(state, story.daylight_at(number) > 0.5) for number, state in enumerate(states)}
    assert seen == {(state, day) for state in STATES for day in (False, True)}


def test_in_a_story_the_gate_is_open_before_and_after_it_is_blocked() -> None:
    story = GateScene(0, 10.0)
    states = [story.state_at(number) for number in range(6000)]
    changes = {(before, after) for before, after in itertools.pairwise(states) if before != after}
    assert changes == {("shut", "open"), ("open", "shut"), ("open", "blocked"), ("blocked", "open")}


def test_a_visit_lasts_some_seconds() -> None:
    story = GateScene(0, 10.0)
    states = [story.state_at(number) for number in range(1000)]
    runs = np.diff(np.flatnonzero([before != after for before, after in itertools.pairwise(states)]))
    assert runs.min() >= 39
    assert runs.max() <= 81


def test_two_frames_of_a_standing_scene_differ_by_noise_and_shake_only() -> None:
    story = GateScene(0, 10.0)
    assert story.state_at(3) == story.state_at(4)
    difference = np.abs(story.frame(3).astype(int) - story.frame(4).astype(int))
    assert 0 < difference.mean() < 12


def test_a_frame_is_rendered_into_the_buffer_given() -> None:
    story = GateScene(0, 10.0, width_px=320, height_px=180)
    buffer = np.zeros((180, 320, 3), np.uint8)
    assert story.frame(7, out=buffer) is buffer
    assert np.array_equal(buffer, story.frame(7))


def test_training_pictures_lie_in_a_folder_per_state_and_can_be_made_again(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_pictures(tmp_path / folder, per_state=3, seed=1)
    for state in STATES:
        first, second = (sorted((tmp_path / folder / state).iterdir()) for folder in ("a", "b"))
        assert [path.name for path in first] == ["0000.jpg", "0001.jpg", "0002.jpg"]
        assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
        assert len({path.read_bytes() for path in first}) == 3


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PictureError, match="cannot be written"):
        write_pictures(tmp_path / "file", per_state=1, seed=0)
