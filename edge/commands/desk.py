"""The desk where commands arrive: it checks, has done, and answers each of them once.

It listens on the publisher's thread and does nothing there itself; a handler starts the work where it belongs and gives
a future of what comes of it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge.commands.requests import MAX_BYTES, THAT_LOOK, CommandError, Handler, Request, Result, parse
from edge.errors import SightpostError, one_line
from edge.messages import ReplyMessage, utc
from edge.publisher.session import Notice
from edge.record import is_topic
from edge.throttle import Throttle
from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge.config import CommandsConfig
    from edge.messages import Topics
    from edge.publisher.session import Heard

logger = logging.getLogger(__name__)

_REMEMBERED = 128
"""So many answers are kept, to be given again when a command comes twice."""
_MINUTE_S = 60.0


class _Identified(msgspec.Struct):
    """What can be read of any command, however wrong it is."""

    id: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class _Task(Value, frozen=True):
    """A command under way."""

    message: Heard
    request: Request
    future: Future[Result]
    give_up_s: float


class Desk:
    """Takes the commands that the configuration allows.

    Args:
        config: what is allowed, and how often.
        topics: of this device.
        say: publishes an answer; from any thread.
        monotonic, clock: seconds of this boot, and UTC seconds since 1970.
    """

    def __init__(
        self,
        config: CommandsConfig,
        topics: Topics,
        say: Callable[[Notice], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._topics = topics
        self._say = say
        self._monotonic = monotonic
        self._clock = clock
        self._handlers: Mapping[str, Handler] = {}
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, bytes], _Task] = {}
        self._answered: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._taken_s: deque[float] = deque(maxlen=config.per_minute)
        self._unnamed = 0
        self._throttle = Throttle(monotonic=monotonic)
        self._complaints = Throttle(1.0, monotonic)

    def open(self, handlers: Mapping[str, Handler]) -> None:
        """Begin to have done what is asked for, by whom is said here for each command."""
        self._handlers = handlers

    @property
    def subscriptions(self) -> Sequence[str]:
        """Nothing where nothing is allowed; what is not allowed where something is gets an answer that says so."""
        return (self._topics.command("#"),) if self._config.allow else ()

    def heard(self, message: Heard) -> None:
        """Take a command, if it is one."""
        base = self._topics.command("")
        if not message.topic.startswith(base) or message.topic == self._topics.reply:
            return
        tail = message.topic.removeprefix(base)
        if message.retained:  # or an old "reload" would be obeyed at every connection
            if self._throttle.allows("retained"):
                logger.warning("A retained message on %s is no command: remove it there", message.topic)
            return
        key = (message.topic, _identity(message))
        with self._lock:
            known, under_way = self._answered.get(key), key in self._under_way
        if known is not None:
            self._send(message, known)
        elif not under_way:
            self._take(key, tail, message)

    def tick(self, now_s: float) -> None:
        """Give up what takes too long."""
        with self._lock:
            late = [task for task in self._under_way.values() if now_s >= task.give_up_s]
        for task in late:
            # Its answer, like any other, is given when the future is done, which this makes it, or else right here.
            if not task.future.cancel():
                self._finish(task, None, f"not done within {self._config.timeout_s:g} s; it may be done later")

    def _take(self, key: tuple[str, bytes], tail: str, message: Heard) -> None:
        now_s = self._monotonic()
        if len(self._taken_s) == self._config.per_minute and now_s - self._taken_s[0] < _MINUTE_S:
            if self._complaints.allows("many"):
                self._refuse(message, tail, f"more than {self._config.per_minute} commands in a minute; wait")
            return
        self._taken_s.append(now_s)
        if not key[1]:  # it does not say which it is, so it cannot be recognized if it comes again
            self._unnamed += 1
            key = (key[0], b"unnamed %d" % self._unnamed)
        try:
            request = parse(tail, message.payload)
            future = self._begin(request)
        except SightpostError as error:
            self._refuse(message, tail, str(error))
            return
        if self._throttle.allows(tail):
            logger.info("Told over MQTT: %s", one_line(tail))
        task = _Task(message, request, future, now_s + self._config.timeout_s)
        with self._lock:
            self._under_way[key] = task
        future.add_done_callback(lambda _: self._done(task))

    def _begin(self, request: Request) -> Future[Result]:
        if request.name not in self._config.allow:
            raise CommandError(f"{request.name} is not allowed: see commands.allow in the device's configuration")
        handler = self._handlers.get(request.name)
        if handler is None:
            when = "is not possible on this device" if self._handlers else "must wait: the device is starting"
            raise CommandError(f"{request.name} {when}")
        return handler(request)

    def _done(self, task: _Task) -> None:
        """The future has come; on the thread that did the work."""
        try:
            self._finish(task, task.future.result(), None)
        except CancelledError:
            why = "the watch was reloaded or has ended, and given up"
            if self._monotonic() >= task.give_up_s:
                hint = "; does the camera give frames? Its status says" if task.request.name in THAT_LOOK else ""
                why = f"not done within {self._config.timeout_s:g} s, and given up{hint}"
            self._finish(task, None, why)
        except SightpostError as error:
            self._finish(task, None, str(error))
        except Exception:  # what a fault makes of one command must be answered like any other failure
            logger.exception("%s failed by a fault in this program", task.request.name)
            self._finish(task, None, "failed by a fault in the program; its log says more")

    def _finish(self, task: _Task, result: Result | None, error: str | None) -> None:
        with self._lock:
            key = next((key for key, each in self._under_way.items() if each is task), None)
            if key is None:
                return  # it was answered when it took too long
            del self._under_way[key]
            answer = self._worded(task.request.name, task.request.watch, task.request.body.id, result, error)
            self._answered[key] = answer
            if len(self._answered) > _REMEMBERED:
                self._answered.popitem(last=False)
        self._send(task.message, answer)

    def _refuse(self, message: Heard, tail: str, error: str) -> None:
        if self._throttle.allows("refused"):
            logger.warning("Refused what was told over MQTT: %s", one_line(f"{tail[:100]}: {error}"))
        name, _, watch = tail.partition("/")
        self._send(message, self._worded(name[:80], watch[:80], _id_of(message.payload), None, error))

    def _worded(self, name: str, watch: str, id_: str | None, result: Result | None, error: str | None) -> bytes:
        return msgspec.json.encode(
            ReplyMessage(
                device=self._topics.device,
                command=name,
                watch=watch or None,
                id=id_,
                ok=error is None,
                error=error,
                result=result,
                at=utc(self._clock()),
            )
        )

    def _send(self, message: Heard, answer: bytes) -> None:
        self._say(Notice(self._reply_topic(message.response_topic), answer, correlation=message.correlation))

    def _reply_topic(self, wanted: str | None) -> str:
        """Where the sender wants the answer, unless it would pass for something that a device says or is told."""
        if wanted is None or not is_topic(wanted) or wanted.startswith(f"{self._topics.prefix}/"):
            return self._topics.reply
        return wanted


def _identity(message: Heard) -> bytes:
    """What tells this command from another one; empty if it does not say."""
    if message.correlation:
        return b"correlation " + message.correlation
    id_ = _id_of(message.payload)
    return b"" if id_ is None else b"id " + id_.encode()


def _id_of(payload: bytes) -> str | None:
    try:
        return msgspec.json.decode(payload[:MAX_BYTES] or b"{}", type=_Identified).id
    except (ValueError, RecursionError):  # no JSON, or no UTF-8
        return None
