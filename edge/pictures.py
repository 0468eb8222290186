"""Pictures of what a watch saw, as JPEG with a note inside that says what they show.

The observer's thread only makes them small; a thread of their own encodes. For each watch the newest waits, so that
pictures can neither hold up an answer nor pile up.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING

from edge.config.picture import PictureConfig
from edge.errors import ConfigError, SightpostError
from edge.jpeg import Note, encode, shrink
from edge.messages import utc
from edge.record import Post
from edge.throttle import Throttle
from edge.value import Value
from edge.watch.outcome import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.frame import Image
    from edge.messages import Topics
    from edge.watch.outcome import Embedded, Tally

logger = logging.getLogger(__name__)


class NoPictureError(SightpostError):
    """There is no picture to be had."""


class Taken(Value, frozen=True):
    """A picture that was published."""

    topic: str
    payload: bytes
    note: Note


class _Job(Value, frozen=True):
    image: Image
    note: Note
    config: PictureConfig
    topic: str
    tally: Tally
    waiting: tuple[Future[Taken], ...] = ()


class Photographer:
    """Publishes pictures. ``answer`` and ``take`` are for the observer's thread.

    Args:
        topics: where they go.
        put: takes posts for the outbox; it must not block.
    """

    def __init__(self, topics: Topics, put: Callable[..., None]) -> None:
        self._topics = topics
        self._put = put
        self._work = threading.Condition()
        self._jobs: dict[str, _Job] = {}
        self._closed = False
        self._throttle = Throttle()
        self._thread = threading.Thread(target=self._encode_forever, name="pictures", daemon=True)
        self._thread.start()

    def answer(self, answer: Answer | Embedded) -> None:
        """Take a picture of a change, where the watch is to."""
        config = answer.watch.config.picture
        if config is None or answer.frame is None or not isinstance(answer, Answer) or not answer.changed:
            return
        if answer.label is not None:
            self._add(answer, config, ())

    def take(self, answer: Answer | Embedded) -> Future[Taken]:
        """Take a picture of this answer in any case."""
        taken: Future[Taken] = Future()
        if answer.frame is None:
            taken.set_exception(NoPictureError(f"watch {answer.watch.name}: its camera shows nothing"))
        else:
            self._add(answer, answer.watch.config.picture or PictureConfig(), (taken,))
        return taken

    def close(self) -> None:
        """Encode what waits, and end."""
        with self._work:
            self._closed = True
            self._work.notify()
        self._thread.join(10)

    def _add(self, answer: Answer | Embedded, config: PictureConfig, waiting: tuple[Future[Taken], ...]) -> None:
        watch, frame = answer.watch, answer.frame
        if frame is None:
            return
        try:
            image = frame.image if config.of == "frame" else watch.region.cut(frame.image)
        except ConfigError as error:  # the region does not fit into the frame, as the watch's state says
            for future in waiting:
                future.set_exception(error)
            return
        note: Note = {
            "device": self._topics.device,
            "watch": watch.name,
            "captured_at": utc(frame.captured_at_s),
        }
        if isinstance(answer, Answer):
            note |= {"label": answer.label, "score": round(answer.score, 4)}
        small = shrink(image, config.max_px)
        with self._work:
            before = self._jobs.pop(watch.name, None)
            if before is not None:
                watch.tally.pictures_lost += 1
                waiting += before.waiting  # whoever asked gets a newer one
            self._jobs[watch.name] = _Job(small, note, config, self._topics.image(watch.name), watch.tally, waiting)
            self._work.notify()

    def _encode_forever(self) -> None:
        while True:
            with self._work:
                self._work.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return
                job = self._jobs.pop(next(iter(self._jobs)))
            try:
                self._publish(job)
            except Exception as error:  # the top of this thread: one picture must not end all others
                logger.exception("a picture for %s is lost to a fault in this program", job.topic)
                for future in job.waiting:
                    with contextlib.suppress(InvalidStateError):  # whoever asked has given up, or has its picture
                        future.set_exception(error)

    def _publish(self, job: _Job) -> None:
        payload = encode(job.image, job.note, job.config)
        if payload is None:
            error = NoPictureError(f"no picture on {job.topic} fits into {job.config.max_bytes} bytes; allow more")
            job.tally.pictures_lost += 1
            if self._throttle.allows(job.topic):
                logger.warning("%s", error)
        else:
            self._put(Post(job.topic, payload, retain=True))
        for future in job.waiting:
            if not future.set_running_or_notify_cancel():
                continue
            if payload is None:
                future.set_exception(error)
            else:
                future.set_result(Taken(job.topic, payload, job.note))
