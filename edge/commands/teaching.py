"""Teaching a watch over MQTT: its next looks are kept under the label that was said with the command."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from edge.commands.requests import CommandError, Teach
from edge.strict import nearest
from edge.watch.lessons import Lessons, fault_of, lessons_path
from edge.watch.outcome import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import numpy as np
    import numpy.typing as npt

    from edge.commands.requests import Handler, Request, Result
    from edge.observer import Observer
    from edge.watch.outcome import Embedded
    from edge.watch.watch import Watch


def teaching(observer: Observer, state_dir: str, names: Callable[[], Collection[str]]) -> Handler:
    """The command to learn a label from what a watch of kind ``teach`` sees; ``names`` are the watches there are."""

    def teach(request: Request) -> Future[Result]:
        body = request.body
        if not isinstance(body, Teach):
            raise CommandError("teach needs a label")
        try:
            watch = observer.watch(request.watch)
        except KeyError as error:
            raise CommandError(f"there is no watch {request.watch!r}; {nearest(request.watch, names())}") from error
        if watch.config.kind != "teach":
            raise CommandError(f'watch {watch.name} cannot be taught: give it kind = "teach"')
        if (fault := fault_of(body.label)) is not None:
            raise CommandError(f"{body.label!r} {fault}; take another label")
        session = _Session(observer, watch, body, Lessons(lessons_path(state_dir, watch.name), watch.model))
        session.go_on()
        return session.done

    return teach


class _Session:
    """One look after the other, each asked for when the one before has been answered."""

    def __init__(self, observer: Observer, watch: Watch, wish: Teach, lessons: Lessons) -> None:
        self.done: Future[Result] = Future()
        self._observer = observer
        self._watch = watch
        self._wish = wish
        self._lessons = lessons
        self._shots: list[npt.NDArray[np.float32]] = []

    def go_on(self) -> None:
        self._observer.look_now(self._watch.name).add_done_callback(self._seen)

    def _seen(self, looked: Future[Answer | Embedded]) -> None:
        """On the observer's thread; writing to the disk is for another one."""
        if looked.cancelled():
            self.done.cancel()
        if self.done.cancelled():
            return
        answer = looked.result()
        if isinstance(answer, Answer) and answer.embedding is not None:
            self._shots.append(answer.embedding.copy())
        if len(self._shots) < self._wish.shots:
            self.go_on()
        elif self.done.set_running_or_notify_cancel():
            threading.Thread(target=self._keep, name="lesson").start()

    def _keep(self) -> None:
        try:
            count = self._lessons.add(self._wish.label, self._shots)
        except Exception as error:  # noqa: BLE001  it is handed on
            self.done.set_exception(error)
        else:
            self.done.set_result({"label": self._wish.label, "learnt": len(self._shots), "of_this_label": count})
