"""The one thread that looks: it orders frames for the watches that are due, asks the models, hands on the answers.

Models run in threads of their own (``edge.inference``), so that a picture is prepared while another is answered.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec
import numpy as np

from edge.calls import Calls
from edge.camera.supervision import is_news
from edge.errors import CameraError
from edge.inference import Inference
from edge.value import Mutable, Value
from edge.waker import Readiness
from edge.watch.outcome import Answer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from edge.camera import Camera, CameraStatus
    from edge.frame import Frame
    from edge.model import Model
    from edge.watch.outcome import Embedded
    from edge.watch.watch import Watch

_T = TypeVar("_T")

TICK_S = 0.5
"""How often cameras are supervised, and the longest that a stop can go unnoticed."""
MINUTE_S = 60.0
WORTHLESS = {"stale": "no frames", "failed": "no frames", "dark": "dark", "frozen": "frozen", "covered": "covered"}
"""States of a camera in which its picture says nothing, and why a watch says that its own state is stale then."""
AHEAD = 2
"""Frames of a recording on order: one is decoded while another is on its way."""
READY = 1
"""Frames of a recording that are ready beside the one that waits for its model, in case this thread is late: a fast
model gives a fifth more answers. A live camera's would only be older when it is asked about."""


class Lookout(Mutable):
    """A camera and the watches that look through it."""

    camera: Camera
    watches: Sequence[Watch]
    recorded: bool
    told_status: CameraStatus | None = None
    tell_at_s: float = -math.inf
    held: int = 0  # frames that are looked at

    @property
    def finished(self) -> bool:
        """Nothing more will come."""
        return not self.held and self.camera.status.state in {"ended", "failed"}

    def due_s(self) -> float:
        """When the first of its watches wants a frame; a recording delivers them all and each watch takes its pick."""
        due_s = min(watch.due_s for watch in self.watches)
        return -math.inf if self.recorded and due_s < math.inf else due_s


class Sight(Mutable):
    """A frame that is looked at; it is given back when ``open``, the number of answers still to come, is 0."""

    lookout: Lookout
    frame: Frame
    open: int


class Look(Value, frozen=True):
    """One question to a model: what is to be seen for this watch?"""

    watch: Watch
    sight: Sight


class _Successor(Mutable):
    """What is to be looked through next, and who waits for that."""

    lookouts: Sequence[Lookout]
    done: Future[None] = msgspec.field(default_factory=Future)


class Observer:
    """Looks through cameras until it is stopped or every recording has ended.

    Args:
        lookouts: cameras, started, with their watches.
        on_answer: what to do with each answer; it must not block.
        on_status: what to do when a camera's state has changed, and once a minute: name and status.
        on_watches: what to do with all watches, once a minute and when one of them begins or ends to rest, or gets
            another interval.
        clock: monotonic seconds, the one that live frames carry.
        local_time: the time of day, for schedules.
        wait: for one of some connections, at most so many seconds; those that are readable.

    Attributes:
        last_progress_s: when it was last seen to go round, with no model that owes an answer since before; for any
            thread.
    """

    def __init__(
        self,
        lookouts: Sequence[Lookout],
        *,
        on_answer: Callable[[Answer | Embedded], None],
        on_status: Callable[[str, CameraStatus], None],
        on_watches: Callable[[Sequence[Watch]], None] = lambda _: None,
        clock: Callable[[], float],
        local_time: Callable[[], time.struct_time] = time.localtime,
        wait: Callable[[list[socket.socket | int], float], Sequence[object]] | None = None,
    ) -> None:
        self._lookouts = lookouts
        self._on_answer = on_answer
        self._on_status = on_status
        self._on_watches = on_watches
        self._clock = clock
        self._local_time = local_time
        self._wait = wait or Readiness()
        self._calls = Calls()
        self._inferences: dict[Model, Inference[Look]] = {}
        self._fit_inferences(lookouts)
        self._successor: _Successor | None = None
        self._stopping = False
        self._tick_at_s = -math.inf
        self._tell_at_s = -math.inf
        self._told_beats: list[tuple[str | None, float]] = []
        self.last_progress_s = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the cameras and the models' threads, and leave nobody waiting for an answer."""
        for inference in self._inferences.values():
            inference.close()
        self._calls.close()
        if self._successor is not None:
            self._successor.done.cancel()
        for lookout in self._lookouts:
            lookout.camera.close()
            for watch in lookout.watches:
                watch.forget_asks()

    def stop(self) -> None:
        """Ask ``run`` to return soon; from any thread."""
        self._stopping = True
        self.call(lambda: None)  # wakes it

    def call(self, action: Callable[[], _T]) -> Future[_T]:
        """Have something done on the observer's thread, soon and between two looks; from any thread.

        Cameras and watches belong to that thread: ``observer.call(observer.watch("gate").pause)`` pauses one. The
        future is cancelled when the observer ends before.
        """
        return self._calls.add(action)

    def watch(self, name: str) -> Watch:
        """The watch of that name; from any thread.

        Raises:
            KeyError: there is none.
        """
        for lookout in self._lookouts:
            for watch in lookout.watches:
                if watch.name == name:
                    return watch
        raise KeyError(name)

    def look_now(self, name: str) -> Future[Answer | Embedded]:
        """Have a watch give one answer out of turn, of the next frame; from any thread.

        The answer is decided upon and reported like any other. The future's callbacks run on the observer's thread
        while the answer's frame can still be seen; whoever waits on another thread must not touch the frame's image.
        It stays open while the camera delivers nothing, and is cancelled when the observer ends.

        Raises:
            KeyError: there is no such watch.
        """
        watch = self.watch(name)
        answer: Future[Answer | Embedded] = Future()
        asked = self.call(lambda: watch.ask(answer))
        asked.add_done_callback(lambda asked: answer.cancel() if asked.cancelled() else None)
        return answer

    def replace(self, lookouts: Sequence[Lookout]) -> Future[None]:
        """Look through these from now on; from any thread.

        Cameras, watches and models that were there before go on as they are. Other cameras must not be started yet;
        those that are no longer there are ended before. It is done when all that was asked before is answered, and
        cancelled when the observer ends.
        """
        successor = _Successor(lookouts)

        def wait_for_answers() -> None:
            self._successor = successor

        asked = self.call(wait_for_answers)
        asked.add_done_callback(lambda asked: successor.done.cancel() if asked.cancelled() else None)
        return successor.done

    def run(self) -> None:
        """Look until stopped, or until only ended recordings are left.

        Raises:
            CameraError: a recording cannot be opened or read: it will not heal.
        """
        for lookout in self._lookouts:
            lookout.camera.receive()  # what it said while models were loaded; no frame, for none was ordered
        while not self._stopping and not self._all_ended():
            self._turn()

    def _all_ended(self) -> bool:
        if not all(lookout.finished for lookout in self._lookouts):
            return False  # one recording that failed does not end what other cameras see
        for lookout in self._lookouts:
            status = lookout.camera.status
            if status.state == "failed":
                raise CameraError(status.last_error or f"camera {lookout.camera.name}: failed")
        return True

    def _turn(self) -> None:
        now_s = self._clock()
        if now_s >= self._tick_at_s:
            self._tick(now_s)
        if self._successor is not None and not any(lookout.held for lookout in self._lookouts):
            self._give_way(self._successor, now_s)
        timeout_s = self._tick_at_s - now_s
        connections: list[socket.socket | int] = [self._calls.fileno()]
        for lookout in self._lookouts:
            due_s = math.inf if self._successor else lookout.due_s()
            if due_s <= now_s:
                self._order(lookout, now_s, every=due_s == -math.inf)
            else:
                timeout_s = min(timeout_s, due_s - now_s)
            if lookout.camera.connection is not None:
                connections.append(lookout.camera.connection)
        ready = self._wait(connections, max(0.0, timeout_s))
        if self._calls.fileno() in ready:
            self._calls.run()
        self._take_answers()
        for lookout in self._lookouts:
            if lookout.camera.connection in ready:
                self._look(lookout)

    def _give_way(self, successor: _Successor, now_s: float) -> None:
        """Nothing is under way: look through other cameras, or for other watches."""
        before = {lookout.camera: lookout for lookout in self._lookouts}
        watches = {watch for lookout in successor.lookouts for watch in lookout.watches}
        for camera in before.keys() - {lookout.camera for lookout in successor.lookouts}:
            camera.close()  # before others start: they may want the same device
        for watch in (watch for lookout in self._lookouts for watch in lookout.watches if watch not in watches):
            watch.forget_asks()
        for lookout in successor.lookouts:
            if lookout.camera in before:
                lookout.told_status = before[lookout.camera].told_status
                lookout.tell_at_s = before[lookout.camera].tell_at_s
            else:
                lookout.camera.start()
        self._fit_inferences(successor.lookouts)
        self._lookouts = successor.lookouts
        self._successor = None
        self._tick(now_s)
        if successor.done.set_running_or_notify_cancel():
            successor.done.set_result(None)

    def _fit_inferences(self, lookouts: Sequence[Lookout]) -> None:
        """Have threads for the models that are asked, and for no others."""
        models = {watch.model for lookout in lookouts for watch in lookout.watches}
        for model in self._inferences.keys() - models:
            self._inferences.pop(model).close()
        for model in models - self._inferences.keys():
            self._inferences[model] = Inference(model.name, model.engines, wake=self._calls.wake, clock=self._clock)

    def _order(self, lookout: Lookout, now_s: float, *, every: bool) -> None:
        """Order frames as long as there is an interpreter for them; more of a live camera's would only grow old."""
        room = max(self._inferences[watch.model].capacity for watch in lookout.watches) - lookout.held
        room += READY if lookout.recorded else 0
        if room <= 0:
            return
        lookout.camera.request((AHEAD if lookout.recorded else room) if every else 1)
        for watch in lookout.watches:
            if not lookout.recorded and watch.due_s <= now_s:
                watch.cadence.ordered(now_s)

    def _look(self, lookout: Lookout) -> None:
        state = lookout.camera.status.state
        for frame in lookout.camera.receive():
            due = [watch for watch in lookout.watches if watch.due_s <= frame.clock_s]
            looks = [
                (watch, watch.look(frame, untrusted=self._distrust(lookout, watch, frame, state))) for watch in due
            ]
            for _, answer in looks:
                if isinstance(answer, Answer):
                    self._on_answer(answer)
            pictures = [(watch, picture) for watch, picture in looks if isinstance(picture, np.ndarray)]
            if not pictures:
                lookout.camera.release(frame)
                continue
            lookout.held += 1
            sight = Sight(lookout, frame, len(pictures))
            for watch, picture in pictures:
                self._inferences[watch.model].ask(Look(watch, sight), picture)

    def _distrust(self, lookout: Lookout, watch: Watch, frame: Frame, state: str) -> str | None:
        """Why a frame is worth nothing to a watch, if so."""
        if state in WORTHLESS:
            return WORTHLESS[state]
        max_age_s = watch.config.max_age_s
        if max_age_s is not None and not lookout.recorded and self._clock() - frame.clock_s > max_age_s:
            return f"the frame is older than {max_age_s:g} s"
        return None

    def _take_answers(self) -> None:
        for model, inference in self._inferences.items():
            for look, outputs in inference.answered():
                sight = look.sight
                self._on_answer(look.watch.take(sight.frame, model.interpret(outputs)))
                sight.open -= 1
                if not sight.open:
                    sight.lookout.held -= 1
                    sight.lookout.camera.release(sight.frame)

    def _tick(self, now_s: float) -> None:
        self._tick_at_s = now_s + TICK_S
        self.last_progress_s = min((now_s, *(each.owing_since_s for each in self._inferences.values())))
        local = self._local_time()
        for lookout in self._lookouts:
            lookout.camera.tick(now_s)
            status = lookout.camera.status
            if is_news(status, lookout.told_status) or now_s >= lookout.tell_at_s:
                self._on_status(lookout.camera.name, status)
                lookout.told_status, lookout.tell_at_s = status, now_s + MINUTE_S
            for watch in lookout.watches:
                self._age(lookout, watch, now_s, local)
        self._tell_of_watches(now_s)

    def _tell_of_watches(self, now_s: float) -> None:
        """Once a minute, and when one has begun or ended to rest, or has another interval."""
        watches = [watch for lookout in self._lookouts for watch in lookout.watches]
        beats = [(watch.cadence.resting, watch.cadence.interval_s) for watch in watches]
        if now_s >= self._tell_at_s or beats != self._told_beats:
            self._tell_at_s, self._told_beats = now_s + MINUTE_S, beats
            self._on_watches(watches)

    def _age(self, lookout: Lookout, watch: Watch, now_s: float, local: time.struct_time) -> None:
        watch.follow(local)
        if lookout.recorded:  # its clock is the position of the recording, which stands still while nobody looks
            return
        reason = WORTHLESS.get(lookout.camera.status.state)
        lost = watch.lose_sight(reason, now_s) if reason else watch.age(now_s)
        if lost is not None:
            self._on_answer(lost)
