"""From answers to messages: what is said over MQTT, and in the log, of a watch and a camera."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge.errors import one_line
from edge.messages import CameraStatusMessage, Clock, Model, Score, StateMessage, changed, utc
from edge.record import Post, boot_id, clock_quality
from edge.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.camera import CameraStatus
    from edge.messages import Topics
    from edge.watch import Answer

logger = logging.getLogger(__name__)

SCORE_DIGITS = 4
"""An int8 model has no more to say."""


class Reporter:
    """Turns what happens into posts for the outbox.

    Args:
        topics: where things are said.
        put: takes posts that belong together; it must not block.
        clock: UTC seconds since 1970.
        monotonic: seconds of this boot.
    """

    def __init__(
        self,
        topics: Topics,
        put: Callable[..., None],
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._topics = topics
        self._put = put
        self._clock = clock
        self._monotonic = monotonic
        self._boot_id = boot_id()
        self._throttle = Throttle(monotonic=monotonic)

    def answer(self, answer: Answer) -> None:
        """Say a state that has changed; an answer that changes nothing is no news."""
        if answer.label is None or not answer.changed:
            return
        watch = answer.watch
        before = f", before: {answer.previous}" if answer.previous else ""
        logger.info("watch %s: %s", watch.name, one_line(f"{answer.label} {answer.score:.2f}{before}"))
        top = tuple(
            Score(label, round(score, SCORE_DIGITS)) for label, score in answer.prediction.top(watch.config.top)
        )
        state = StateMessage(
            device=self._topics.device,
            watch=watch.name,
            camera=watch.config.camera,
            kind=watch.model.kind,
            label=answer.label,
            score=round(answer.score, SCORE_DIGITS),
            top=top,
            captured_at=utc(answer.frame.captured_at_s),
            clock=self._stamp(),
            model=Model(name=watch.model.name, version=watch.model.version),
        )
        self._put(*changed(self._topics, state, previous=answer.previous))

    def camera(self, name: str, status: CameraStatus) -> None:
        """Say how a camera is; one that has only just been started is not worth a word."""
        if status.state == "starting":
            return
        self._log(name, status)
        is_live = status.state == "live"
        reason = "the recording has ended" if status.state == "ended" else status.last_error
        message = CameraStatusMessage(
            device=self._topics.device,
            camera=name,
            status="live" if is_live else "stale",
            reason=None if is_live else reason,  # while it lives, the last error is history
            since=utc(self._clock()),
            clock=self._stamp(),
        )
        self._put(Post(self._topics.camera_status(name), message, retain=True))

    def _log(self, name: str, status: CameraStatus) -> None:
        if not self._throttle.allows(f"{name} {status.state}"):
            return
        match status.state:
            case "live":
                logger.info("camera %s delivers %dx%d pixels", name, status.width_px, status.height_px)
            case "ended":
                logger.info("camera %s: the recording has ended", name)
            case "stale":
                logger.warning("%s; it is tried again and again", status.last_error or f"camera {name}: no frames")

    def _stamp(self) -> Clock:
        return stamp(self._boot_id, self._monotonic())


def stamp(boot: str, monotonic_s: float) -> Clock:
    """Say how far the wall clock can be trusted now, ``monotonic_s`` seconds into this boot."""
    return Clock(quality=clock_quality(), boot_id=boot, monotonic_s=round(monotonic_s, 6))
