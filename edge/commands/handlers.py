"""Who does what is asked for: watches, by way of the observer's thread, to which they belong."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from edge.commands.requests import CommandError, Interval
from edge.messages import SCORE_DIGITS, utc
from edge.strict import nearest
from edge.watch.outcome import Embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from edge.commands.requests import Handler, Request, Result
    from edge.observer import Observer
    from edge.pictures import Photographer, Taken
    from edge.watch.outcome import Answer
    from edge.watch.watch import Watch

_T = TypeVar("_T")


def on_watches(observer: Observer, names: Callable[[], Collection[str]]) -> dict[str, Handler]:
    """The commands that concern a watch; ``names`` are those that there are."""

    def found(request: Request) -> Watch:
        try:
            return observer.watch(request.watch)
        except KeyError as error:
            raise CommandError(f"there is no watch {request.watch!r}; {nearest(request.watch, names())}") from error

    def look(request: Request) -> Future[Result]:
        return then(observer.look_now(found(request).name), _answer)

    def changed(change: Callable[[Watch, Request], None]) -> Handler:
        def handle(request: Request) -> Future[Result]:
            watch = found(request)

            def act() -> Result:
                change(watch, request)
                return {"paused": watch.paused, "interval_s": watch.cadence.interval_s}

            return observer.call(act)

        return handle

    return {
        "look": look,
        "pause": changed(lambda watch, _: watch.pause()),
        "resume": changed(lambda watch, _: watch.resume()),
        "interval": changed(_set_interval),
    }


def snapshots(observer: Observer, photographer: Photographer, names: Callable[[], Collection[str]]) -> Handler:
    """The command to publish a picture of what a watch sees now."""

    def snapshot(request: Request) -> Future[Result]:
        taken: Future[Taken] = Future()
        try:
            looked = observer.look_now(request.watch)
        except KeyError as error:
            raise CommandError(f"there is no watch {request.watch!r}; {nearest(request.watch, names())}") from error

        def shoot(looked: Future[Answer | Embedded]) -> None:  # while the frame can still be seen
            if looked.cancelled():
                taken.cancel()
            else:
                photographer.take(looked.result()).add_done_callback(lambda shot: _hand_on(shot, taken))

        looked.add_done_callback(shoot)
        taken.add_done_callback(lambda taken: looked.cancel() if taken.cancelled() else None)
        return then(taken, lambda shot: {"topic": shot.topic, "bytes": len(shot.payload), **shot.note})

    return snapshot


def _hand_on(source: Future[_T], target: Future[_T]) -> None:
    if source.cancelled():
        target.cancel()
    elif target.set_running_or_notify_cancel():
        error = source.exception()
        if error is None:
            target.set_result(source.result())
        else:
            target.set_exception(error)


def then(source: Future[_T], convert: Callable[[_T], Result]) -> Future[Result]:
    """A future of what ``convert`` makes of another one's result, on the thread that gave it; cancelled as one."""
    target: Future[Result] = Future()

    def come(source: Future[_T]) -> None:
        if source.cancelled():
            target.cancel()
        elif target.set_running_or_notify_cancel():
            try:
                target.set_result(convert(source.result()))
            except Exception as error:  # noqa: BLE001  it is handed on
                target.set_exception(error)

    source.add_done_callback(come)
    target.add_done_callback(lambda target: source.cancel() if target.cancelled() else None)
    return target


def _set_interval(watch: Watch, request: Request) -> None:
    if isinstance(request.body, Interval):
        watch.set_interval(request.body.interval_s)


def _answer(answer: Answer | Embedded) -> Result:
    """What was seen, and what the watch has made of it so far."""
    seen: Result = {} if answer.frame is None else {"captured_at": utc(answer.frame.captured_at_s)}
    if isinstance(answer, Embedded):
        return seen
    seen["state"] = answer.label
    if answer.prediction is not None:
        seen["label"] = answer.prediction.label
        seen["score"] = round(answer.prediction.score, SCORE_DIGITS)
    return seen
