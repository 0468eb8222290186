"""What is known of a camera, and what follows from it: pure decisions, the time is passed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edge.value import Value

if TYPE_CHECKING:
    import random

    from edge.config import CameraConfig

State = Literal["starting", "live", "dark", "covered", "frozen", "stale", "ended", "failed"]

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 8.0
"""A camera that is back is found within ten seconds: this, and the time to open it."""
STALE_PERIODS = 2.5
"""A camera with a configured rate may be late by so many of its periods, however short ``stale_after_s`` is."""
MARGIN_S = 2.0
"""How much longer than OpenCV's own timeout a decoder may be silent before it is thought to hang."""


class CameraStatus(Value, frozen=True):
    """A camera at one moment.

    Attributes:
        state: ``starting`` (no frame yet); ``live``; frames come that are worth no answer: ``dark``, ``covered``
            (nothing to be seen but one colour or a blur), ``frozen`` (nothing but pictures that were seen before);
            ``stale`` (no frame for ``stale_after_s``; it is tried again for ever); ``ended`` (a recording, read to its
            end); ``failed`` (trying again is no use; see ``last_error``).
        rate_hz: frames per second as grabbed in the last second or so; nominal before that; 0 when nothing is known.
        grabbed: frames that came from the source, over all decoding processes.
        delivered: frames that were handed to the reader.
        skipped: frames that came when nobody had asked for one.
        damaged: frames or pictures that could not be decoded.
        restarts: how often the decoding process was replaced.
        last_error: why it was last replaced or failed; without credentials.
        width_px: of the frames; 0 before the first.
        height_px: likewise.
        notes: what the camera does not do as configured, a line each.
    """

    state: State
    rate_hz: float
    grabbed: int
    delivered: int
    skipped: int
    damaged: int
    restarts: int
    last_error: str | None
    width_px: int
    height_px: int
    notes: tuple[str, ...] = ()


class Backoff:
    """Waiting times before further tries: doubling from half a second to eight, each shortened by chance by up to half.

    The chance keeps cameras that were lost together from coming back in step.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0

    def next_s(self) -> float:
        """Seconds to wait after one more failure."""
        delay_s = min(FIRST_RETRY_S * 2.0 ** min(self._failures, 16), LAST_RETRY_S)
        self._failures += 1
        return delay_s * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It works again."""
        self._failures = 0


class Silence:
    """How long a decoder has been silent while the daemon was listening.

    Time in which the daemon itself did not listen (stopped, starved, busy) does not count against the decoder.
    """

    LONGEST_STEP_S = 1.0

    def __init__(self, config: CameraConfig, now_s: float) -> None:
        # Opening is over when a first frame was read, so both of OpenCV's timeouts may have to pass.
        self._limit_s = config.open_timeout_s + config.read_timeout_s + MARGIN_S
        self._limit_once_open_s = config.read_timeout_s + MARGIN_S
        self._silent_s = 0.0
        self._listened_at_s = now_s

    def heard(self, *, opened: bool) -> None:
        """There was a message."""
        self._silent_s = 0.0
        if opened:
            self._limit_s = self._limit_once_open_s

    def is_too_long(self, now_s: float) -> bool:
        """Called about once a second: whether the decoder must be thought to hang."""
        self._silent_s += min(now_s - self._listened_at_s, self.LONGEST_STEP_S)
        self._listened_at_s = now_s
        return self._silent_s > self._limit_s

    @property
    def limit_s(self) -> float:
        """How long it may be silent now."""
        return self._limit_s


def state_of_live(now_s: float, *, since_s: float, frame_at_s: float | None, stale_after_s: float) -> State:
    """State of a live camera that was started at ``since_s`` and last gave a frame at ``frame_at_s``, if ever."""
    if now_s - (since_s if frame_at_s is None else frame_at_s) > stale_after_s:
        return "stale"
    return "starting" if frame_at_s is None else "live"


def is_news(status: CameraStatus, told: CameraStatus | None) -> bool:
    """Whether more than the numbers has changed since a status was told."""
    if told is None:
        return True
    now = (status.state, status.width_px, status.height_px, status.notes)
    return now != (told.state, told.width_px, told.height_px, told.notes)


def reason_for(status: CameraStatus) -> str | None:
    """What is wrong and what to do, in words; None when nothing is: while a camera lives, its last error is history."""
    match status.state:
        case "ended":
            return "the recording has ended"
        case "dark":
            return "the picture is dark: put light on, or look what is before the lens"
        case "covered":
            return (
                "nothing is to be seen but one colour or a blur: look whether the lens is covered, wet or out of focus"
            )
        case "frozen":
            return "the same picture comes again and again: restart the camera"
        case "stale" | "failed":
            return status.last_error
    return None
