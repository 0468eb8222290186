"""Whether a camera's pictures are worth an answer: measured on one frame, decided over several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.judgement import Judgement
from edge.camera.protocol import Sight
from edge.camera.scene import STORY_SEED, GateScene
from edge.camera.sight import sight_of

if TYPE_CHECKING:
    from edge.frame import Image

FINE = Sight(brightest=200.0, clarity=0.3, fingerprint=None)
DARK = Sight(brightest=10.0, clarity=0.02, fingerprint=None)
COVERED = Sight(brightest=120.0, clarity=0.03, fingerprint=None)


def faults(sights: list[Sight], *, frozen_after_s: float = 8.0) -> list[str | None]:
    """What is said after each of some sights, one a second."""
    judgement = Judgement(frozen_after_s)
    said: list[str | None] = []
    for second, sight in enumerate(sights):
        judgement.see(sight, 100.0 + second)
        said.append(judgement.fault)
    return said


def prints(*fingerprints: int) -> list[Sight]:
    return [Sight(200.0, 0.3, fingerprint) for fingerprint in fingerprints]


@pytest.mark.parametrize(("bad", "fault"), [(DARK, "dark"), (COVERED, "covered")])
def test_a_bad_picture_must_last_and_so_must_a_good_one_after_it(bad: Sight, fault: str) -> None:
    assert faults([FINE, bad, bad, bad, FINE, FINE]) == [None] * 6
    said = faults([FINE, *[bad] * 6, *[FINE] * 6])
    assert said == [None] * 4 + [fault] * 6 + [None] * 3


def test_between_the_limits_what_was_said_stays_said() -> None:
    between = Sight(brightest=28.0, clarity=0.05, fingerprint=None)
    assert faults([between] * 20) == [None] * 20
    assert faults([*[DARK] * 5, *[between] * 20])[-1] == "dark"


def test_a_picture_that_repeats_exactly_is_frozen_within_ten_seconds_and_one_new_picture_ends_it() -> None:
    said = faults(prints(1, 2, *[3] * 12, 4))
    assert said.index("frozen") <= 2 + 9
    assert said[-2:] == ["frozen", None]


def test_a_frozen_picture_is_known_in_spite_of_its_key_frames() -> None:
    assert faults(prints(*[7, 7, 7, 8] * 6))[-1] == "frozen"


def test_a_stream_that_repeats_frames_between_key_frames_of_a_noisy_scene_is_live() -> None:
    key_frames = [number // 4 for number in range(60)]  # each shows new noise, and the frames until the next copy it
    assert set(faults(prints(*key_frames))) == {None}


def test_sources_that_may_repeat_and_cameras_that_are_said_to_are_never_frozen() -> None:
    assert set(faults([FINE] * 60)) == {None}
    assert set(faults(prints(*[5] * 60), frozen_after_s=0)) == {None}


@given(st.lists(st.sampled_from([FINE, DARK, COVERED]), max_size=60))
def test_nothing_is_said_that_the_last_three_seconds_do_not_bear_out(sights: list[Sight]) -> None:
    for index, (now, before) in enumerate(zip(faults(sights), [None, *faults(sights)], strict=False)):
        if now != before and now is not None:
            wanted = DARK if now == "dark" else COVERED
            recent = sights[max(0, index - 3) : index + 1]
            assert len(recent) == 4
            assert all(sight == wanted or sight.clarity == DARK.clarity for sight in recent)


def noisy(image: Image, sigma: float = 4.0) -> Image:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def fault_of(image: Image) -> str | None:
    return faults([sight_of(image, repeats=True)] * 5)[-1]


def test_the_simulated_gate_is_worth_an_answer_by_day_and_by_night() -> None:
    scene = GateScene(STORY_SEED, 10)
    assert {fault_of(scene.frame(number)) for number in range(0, 500, 25)} == {None}


def test_a_black_a_painted_and_a_blurred_picture_are_found_through_the_noise() -> None:
    scene = GateScene(STORY_SEED, 10).frame(100)
    vignette = np.broadcast_to(np.linspace(60, 180, 640)[None, :, None], (360, 640, 3)).astype(np.uint8)
    assert fault_of(noisy(np.zeros((360, 640, 3), np.uint8))) == "dark"
    assert fault_of(noisy(np.full((360, 640, 3), 130, np.uint8))) == "covered"
    assert fault_of(noisy(vignette)) == "covered"
    assert fault_of(noisy(np.asarray(cv2.GaussianBlur(scene, (0, 0), 40), np.uint8))) == "covered"


def test_noise_makes_a_new_picture_and_a_copy_does_not() -> None:
    image = np.full((360, 640, 3), 130, np.uint8)
    same = sight_of(image, repeats=False)
    assert same.fingerprint == sight_of(image.copy(), repeats=False).fingerprint
    assert same.fingerprint != sight_of(noisy(image, 1.0), repeats=False).fingerprint
    assert sight_of(image, repeats=True).fingerprint is None


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (7, 300), (1080, 1920)])
def test_pictures_of_any_size_can_be_measured(size: tuple[int, int]) -> None:
    assert sight_of(np.full((*size, 3), 200, np.uint8), repeats=False).brightest == pytest.approx(200)
