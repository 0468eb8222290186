"""From answers to messages: what is said over MQTT, and in the log, of a watch and a camera."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from edge.answer import STALE
from edge.camera.supervision import reason_for
from edge.errors import one_line
from edge.messages import (
    SCORE_DIGITS,
    AnswerMessage,
    CameraStatusMessage,
    Clock,
    EmbeddingMessage,
    Model,
    Score,
    StateMessage,
    WatchStatusMessage,
    changed,
    utc,
)
from edge.record import Post, Priority, boot_id, clock_quality
from edge.throttle import Throttle
from edge.vectors import pack
from edge.watch.drift import NOTABLE
from edge.watch.outcome import Embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.camera import CameraStatus
    from edge.frame import Frame
    from edge.messages import Topics
    from edge.model import Prediction
    from edge.record import ClockQuality
    from edge.watch.outcome import Answer
    from edge.watch.watch import Watch

logger = logging.getLogger(__name__)

MISSED_SHARE = 0.05
"""How many of the looks that were due may be dropped before it is worth a word."""

_QUALITY_S = 1.0
"""How long it is believed how far the wall clock can be trusted."""


class Reporter:
    """Turns what happens into posts for the outbox.

    Args:
        topics: where things are said.
        put: takes posts that belong together; it must not block.
        clock: UTC seconds since 1970.
        monotonic: seconds of this boot.
        samples: how many pictures of a watch were kept, and how many could not be.
    """

    def __init__(
        self,
        topics: Topics,
        put: Callable[..., None],
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        samples: Callable[[str], tuple[int, int]] = lambda _: (0, 0),
    ) -> None:
        self._topics = topics
        self._put = put
        self._clock = clock
        self._monotonic = monotonic
        self._boot_id = boot_id()
        self._quality: ClockQuality = "unknown"
        self._quality_at_s = -math.inf
        self._samples = samples
        self._daily = Throttle(86_400.0, monotonic)
        self._throttle = Throttle(monotonic=monotonic)
        self._cameras: dict[str, tuple[CameraStatus, float]] = {}  # as last told, and since when it is so
        self._told: dict[Watch, tuple[int, int]] = {}  # looks, and those that were missed

    def answer(self, answer: Answer | Embedded) -> None:
        """Say a state that has changed, or a feature vector; an answer that changes nothing is no news to most."""
        if isinstance(answer, Embedded):
            self._embedding(answer)
            return
        watch = answer.watch
        if watch.config.answers and answer.frame and answer.prediction:
            self._single(answer, answer.frame, answer.prediction)
        if answer.label is None or not answer.changed:
            return
        self._log_answer(answer)
        top = _top(answer.prediction, watch.config.top) if answer.prediction else ()
        state = StateMessage(
            device=self._topics.device,
            watch=watch.name,
            camera=watch.config.camera,
            kind=watch.kind,
            label=answer.label,
            reason=answer.reason,
            score=round(answer.score, SCORE_DIGITS),
            top=top,
            count=answer.visits.count,
            total_s=round(answer.visits.total_s, 3),
            captured_at=utc(answer.frame.captured_at_s if answer.frame else self._clock()),
            clock=self._stamp(),
            model=Model(name=watch.model.name, version=watch.model.version),
        )
        self._put(*changed(self._topics, state, previous=answer.previous, dwell_s=round(answer.dwell_s, 3)))

    def _single(self, answer: Answer, frame: Frame, prediction: Prediction) -> None:
        """There is one for every look, so these go before any state or event when the outbox is full."""
        watch = answer.watch
        message = AnswerMessage(
            device=self._topics.device,
            watch=watch.name,
            camera=watch.config.camera,
            kind=watch.kind,
            label=prediction.label,
            score=round(prediction.score, SCORE_DIGITS),
            top=_top(prediction, watch.config.top),
            state=answer.label,
            captured_at=utc(frame.captured_at_s),
            clock=self._stamp(),
            model=Model(name=watch.model.name, version=watch.model.version),
        )
        self._put(Post(self._topics.answer(watch.name), message, priority=Priority.EXPENDABLE))

    def _log_answer(self, answer: Answer) -> None:
        score = "" if math.isnan(answer.score) else f" {answer.score:.2f}"
        reason = f" ({answer.reason})" if answer.reason else ""
        before = f", before: {answer.previous}" if answer.previous else ""
        level = logging.WARNING if answer.label == STALE else logging.INFO
        logger.log(level, "watch %s: %s", answer.watch.name, one_line(f"{answer.label}{score}{reason}{before}"))

    def watches(self, watches: Sequence[Watch]) -> None:
        """Say how the watches themselves are, and in the log which of them the device is too slow for."""
        for watch in watches:
            tally, cadence = watch.tally, watch.cadence
            kept, lost = self._samples(watch.name)
            drift = watch.drift.number()
            message = WatchStatusMessage(
                device=self._topics.device,
                watch=watch.name,
                resting=cadence.resting,
                interval_s=cadence.interval_s,
                looks=tally.looks,
                unknown=tally.unknown,
                still=tally.still,
                missed=cadence.missed,
                untrusted=tally.untrusted,
                pictures_lost=tally.pictures_lost,
                drift=None if drift is None else round(drift, 3),
                samples=kept,
                samples_lost=lost,
                at=utc(self._clock()),
                clock=self._stamp(),
            )
            self._put(Post(self._topics.watch_status(watch.name), message, retain=True))
            if drift is not None and drift > NOTABLE and self._daily.allows(watch.name):
                logger.warning(
                    "watch %s: what it sees has become unlike what its model was trained with (drift %.2f); look at "
                    "the camera (moved, dirty, out of focus), or train with pictures of now",
                    watch.name, drift,
                )  # fmt: skip
        self._warn_of_missed(watches)

    def _warn_of_missed(self, watches: Sequence[Watch]) -> None:
        behind = []
        told = {}  # by the watch itself: one of the same name that a reload made begins anew
        for watch in watches:
            seen, missed = watch.tally.looks + watch.tally.still, watch.cadence.missed
            seen_before, missed_before = self._told.get(watch, (0, 0))
            told[watch] = seen, missed
            due = seen - seen_before + missed - missed_before
            if due and (missed - missed_before) / due > MISSED_SHARE:
                behind.append(f"{watch.name} {100 * (missed - missed_before) / due:.0f} %")
        self._told = told
        if behind:
            logger.warning(
                "this device cannot look as often as it is asked to; looks that were dropped: %s; "
                'give longer intervals, a smaller model, or cadence = "motion"',
                ", ".join(behind),
            )

    def _embedding(self, seen: Embedded) -> None:
        """Vectors are the first to go when the outbox is full: there is one for every look."""
        watch = seen.watch
        message = EmbeddingMessage(
            device=self._topics.device,
            watch=watch.name,
            camera=watch.config.camera,
            embedding=pack(seen.embedding, watch.config.encoding),
            l2=watch.config.l2,
            captured_at=utc(seen.frame.captured_at_s),
            clock=self._stamp(),
            model=Model(name=watch.model.name, version=watch.model.version),
        )
        self._put(Post(self._topics.embedding(watch.name), message, priority=Priority.EXPENDABLE))

    def camera(self, name: str, status: CameraStatus) -> None:
        """Say how a camera is; one that has only just been started is not worth a word."""
        if status.state == "starting":
            return
        before, since_s = self._cameras.get(name, (None, 0.0))
        if before is None or before.state != status.state:
            since_s = self._clock()
            self._log(name, status)
        elif (before.width_px, before.height_px) != (status.width_px, status.height_px):
            self._log_size(name, before, status)
        if before is None or before.notes != status.notes:
            for note in status.notes:
                logger.warning("camera %s: %s", name, one_line(note))
        self._cameras[name] = status, since_s
        message = CameraStatusMessage(
            device=self._topics.device,
            camera=name,
            status="stale" if status.state == "ended" or status.state == "failed" else status.state,  # noqa: PLR1714  narrows
            reason=reason_for(status),
            since=utc(since_s),
            rate_hz=round(status.rate_hz, 2),
            width_px=status.width_px,
            height_px=status.height_px,
            grabbed=status.grabbed,
            delivered=status.delivered,
            skipped=status.skipped,
            damaged=status.damaged,
            restarts=status.restarts,
            notes=status.notes,
            clock=self._stamp(),
        )
        self._put(Post(self._topics.camera_status(name), message, retain=True))

    def _log(self, name: str, status: CameraStatus) -> None:
        if not self._throttle.allows(f"{name} {status.state}"):
            return
        match status.state:
            case "live" if not status.width_px:
                logger.info("camera %s waits for pictures", name)
            case "live":
                logger.info("camera %s delivers %dx%d pixels", name, status.width_px, status.height_px)
            case "ended":
                logger.info("camera %s: the recording has ended", name)
            case "stale":
                logger.warning("%s; it is tried again and again", status.last_error or f"camera {name}: no frames")
            case "failed":
                logger.error("%s; mend it, and restart sightpost", status.last_error or f"camera {name} failed")
            case "dark" | "covered" | "frozen":
                logger.warning("camera %s is %s: %s", name, status.state, reason_for(status))

    def _log_size(self, name: str, before: CameraStatus, status: CameraStatus) -> None:
        if not status.width_px or not self._throttle.allows(f"{name} size"):  # pictures of a folder may all differ
            return
        if before.width_px:
            sizes = before.width_px, before.height_px, status.width_px, status.height_px
            logger.warning("camera %s: its frames were %dx%d pixels, and are now %dx%d", name, *sizes)
        else:
            logger.info("camera %s delivers %dx%d pixels", name, status.width_px, status.height_px)

    def _stamp(self) -> Clock:
        now_s = self._monotonic()
        if now_s - self._quality_at_s >= _QUALITY_S:
            self._quality, self._quality_at_s = clock_quality(), now_s
        return stamp(self._boot_id, now_s, self._quality)


def _top(prediction: Prediction, count: int) -> tuple[Score, ...]:
    return tuple(Score(label, round(score, SCORE_DIGITS)) for label, score in prediction.top(count))


def stamp(boot: str, monotonic_s: float, quality: ClockQuality | None = None) -> Clock:
    """Say how far the wall clock can be trusted now, ``monotonic_s`` seconds into this boot."""
    return Clock(quality=quality or clock_quality(), boot_id=boot, monotonic_s=round(monotonic_s, 6))
