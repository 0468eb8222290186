"""When a camera is tried again, when it is thought to hang, and what is said of it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.supervision import Backoff, Silence, state_of_live
from edge.config import CameraConfig

CONFIG = CameraConfig(source="rtsp://host/", open_timeout_s=10.0, read_timeout_s=5.0)


@given(st.integers(0, 2**32))
def test_retries_back_off_to_at_most_eight_seconds_and_begin_again(seed: int) -> None:
    backoff = Backoff(random.Random(seed))
    for longest_s in (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0):
        assert longest_s / 2 <= backoff.next_s() <= longest_s
    for _ in range(2000):  # months of failures do not overflow
        assert backoff.next_s() <= 8.0
    backoff.reset()
    assert backoff.next_s() <= 0.5


def test_cameras_that_were_lost_together_come_back_apart() -> None:
    delays = {Backoff(random.Random(seed)).next_s() for seed in range(10)}
    assert len(delays) == 10


def silent_for(silence: Silence, start_s: float, seconds: int) -> bool:
    return any(silence.is_too_long(start_s + second) for second in range(1, seconds + 1))


def test_opening_may_take_both_timeouts_and_reading_only_one() -> None:
    silence = Silence(CONFIG, 100.0)
    assert not silent_for(silence, 100.0, 17)
    assert silent_for(silence, 117.0, 1)
    silence = Silence(CONFIG, 100.0)
    silence.heard(opened=True)
    assert not silent_for(silence, 100.0, 7)
    assert silent_for(silence, 107.0, 1)


def test_any_message_breaks_the_silence() -> None:
    silence = Silence(CONFIG, 0.0)
    silence.heard(opened=True)
    for second in range(1, 100):
        assert not silence.is_too_long(float(second))
        if second % 5 == 0:
            silence.heard(opened=False)


def test_a_daemon_that_was_itself_stopped_does_not_blame_the_camera() -> None:
    silence = Silence(CONFIG, 0.0)
    silence.heard(opened=True)
    assert not silence.is_too_long(3600.0)


@pytest.mark.parametrize(
    ("now_s", "frame_at_s", "state"),
    [(9.0, None, "starting"), (11.0, None, "stale"), (100.0, 95.0, "live"), (106.0, 95.0, "stale")],
)
def test_a_camera_without_frames_for_too_long_is_stale(now_s: float, frame_at_s: float | None, state: str) -> None:
    assert state_of_live(now_s, since_s=0.0, frame_at_s=frame_at_s, stale_after_s=10.0) == state
