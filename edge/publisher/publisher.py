"""The thread that owns the connection to the broker, for as long as the program runs."""

from __future__ import annotations

import logging
import select
import threading
import time
from typing import TYPE_CHECKING, Literal

import edge
from edge.errors import BrokerError
from edge.messages import Clock, DeviceStatusMessage, utc
from edge.publisher import advice
from edge.publisher.connector import Backoff, Connector
from edge.publisher.conversation import Conversation
from edge.publisher.delivery import Delivery
from edge.publisher.dialect import Plain
from edge.publisher.misfits import Misfits
from edge.publisher.pace import Pace
from edge.publisher.timekeeper import Timekeeper
from edge.record import boot_id, clock_quality
from edge.throttle import Throttle
from edge.waker import Waker

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.config import MqttConfig
    from edge.messages import Topics
    from edge.outbox import Outbox
    from edge.publisher.conversation import Listener
    from edge.publisher.dialect import Dialect
    from edge.publisher.session import Notice, Session
    from edge.record import ClockQuality

logger = logging.getLogger(__name__)

STATUS_INTERVAL_S = 60.0
"""How often the device's status, with the outbox's counts, is said again while connected."""
_FIRST_PAUSE_S = 0.2
_TICK_S = 1.0
_GOODBYE_S = 1.0
_SUSPICIOUS = 4
"""So many connections in a row that lasted no longer than ``reconnect_max_s`` have a cause of their own."""


class Publisher:
    """Sends what the outbox holds to the broker, whenever there is one.

    At least once, in order for each watch, and never more than ``max_inflight`` unacknowledged; removed from the outbox
    only when acknowledged. After every connection all states are said again, so that the broker may have lost them.
    """

    def __init__(
        self,
        outbox: Outbox,
        config: MqttConfig,
        topics: Topics,
        *,
        dialect: Dialect | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        quality: Callable[[], ClockQuality] = clock_quality,
        boot: str | None = None,
    ) -> None:
        self._outbox = outbox
        self._config = config
        self._topics = topics
        self._dialect = dialect or Plain(topics)
        self._clock = clock
        self._monotonic = monotonic
        self._quality = quality
        self._boot_id = boot_id() if boot is None else boot
        self._waker = Waker()
        self._connector = Connector(config, config.client_id or f"sightpost-{topics.device}", self._waker)
        self._backoff = Backoff(_FIRST_PAUSE_S, config.reconnect_max_s)
        self._throttle = Throttle()
        self._conversation = Conversation(config, self._dialect, self._throttle)
        self._misfits = Misfits(config.max_inflight)
        self._pace = Pace(config.replay_rate_hz, monotonic())
        self._timekeeper = Timekeeper(clock, monotonic, quality, self._boot_id)
        self._short_lived = 0
        self._away = False
        self._news = False
        self._config_error: str | None = None
        self._status_due_s = 0.0
        self._stop_by_s: float | None = None
        self._connected = False
        self._last_progress_s = monotonic()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    @property
    def connected(self) -> bool:
        """Whether the broker has let us in."""
        return self._connected

    @property
    def last_progress_s(self) -> float:
        """When (monotonic seconds) the thread last went round its loop, which it does every second."""
        return self._last_progress_s

    def start(self) -> None:
        """Begin to connect; that goes on for as long as it takes."""
        self._outbox.on_commit(self._on_commit)
        self._thread.start()

    def stop(self, drain_timeout_s: float = 5.0) -> None:
        """Send what can still be sent in that time, say goodbye and end. What remains is sent after the next start.

        When the broker is known to be away there is nothing to wait for.
        """
        if self._stop_by_s is not None:
            return
        if self._thread.ident is None:
            self._waker.close()
            return
        started_s = self._monotonic()
        self._outbox.flush(drain_timeout_s)
        self._news = True
        self._stop_by_s = started_s + drain_timeout_s
        self._waker.wake()
        self._thread.join(drain_timeout_s + _GOODBYE_S + 2 * _TICK_S)
        if self._thread.is_alive():
            logger.error("The publisher hangs; what it has not sent stays in the outbox.")
        else:
            self._waker.close()

    def listen(self, listener: Listener) -> None:
        """Have somebody hear what others say; before ``start``."""
        self._conversation.listeners.append(listener)

    def say(self, notice: Notice) -> None:
        """Say something soon that is not worth storing, such as an answer to a command; from any thread."""
        self._conversation.add(notice)
        self._waker.wake()

    def config_error(self, error: str | None) -> None:
        """Say soon, in the device's status, why its configuration was not taken over, if so; from any thread."""
        self._config_error = error
        self._status_due_s = 0.0
        self._waker.wake()

    def _on_commit(self) -> None:
        self._news = True
        self._waker.wake()

    def _run(self) -> None:
        while True:
            self._last_progress_s = self._monotonic()
            try:
                self._connect_and_serve()
                return  # it was time to stop
            except BrokerError as error:
                self._away = True
                if not self._may_end() and self._throttle.allows(str(error)):
                    logger.warning("%s. Answers are kept until it is back.", error)
            except Exception:  # the top of this thread: a fault must not end all publishing, least of all unseen
                logger.exception("Publishing failed by a fault in this program; it goes on with a new connection.")
            finally:
                self._connected = False
            if self._may_end():
                return
            self._pause(self._backoff.next_s())

    def _connect_and_serve(self) -> None:
        """Deliver over one connection until it is lost or it is time to stop."""
        will = self._dialect.will(self._status("offline", reason="connection lost"))
        session = self._connector.connect(will, cancelled=self._cancelled)
        opened_s = self._monotonic()
        try:
            if self._throttle.allows("connected"):
                logger.info("Connected to %s in MQTT %s.", advice.where(self._config), session.version)
            self._connected, self._away = True, False
            self._serve(session)
            session.close()
        except BrokerError as error:
            if self._monotonic() - opened_s > self._config.reconnect_max_s:
                self._backoff.reset()
                self._short_lived = 0
                raise
            self._short_lived += 1
            if self._short_lived >= _SUSPICIOUS:
                raise BrokerError(advice.short_lived(self._config)) from error
            raise
        finally:
            session.abort()

    def _serve(self, session: Session) -> None:
        """Deliver until it is time to stop."""
        delivery = Delivery(
            self._outbox,
            session,
            dialect=self._dialect,
            misfits=self._misfits,
            pace=self._pace,
            timekeeper=self._timekeeper,
            monotonic=self._monotonic,
            throttle=self._throttle,
        )
        try:
            self._deliver(delivery, session)
        except BrokerError:
            if not session.lost:  # it was us who ended it
                delivery.finish()
            elif delivery.lost():
                self._backoff.reset()
                self._short_lived = 0
            raise

    def _deliver(self, delivery: Delivery, session: Session) -> None:
        self._status_due_s = 0.0
        failing = self._outbox.failing
        self._conversation.begin(session)
        while not (self._stop_by_s is not None and (self._all_sent(delivery) or self._monotonic() > self._stop_by_s)):
            now_s = self._last_progress_s = self._monotonic()
            if not self._conversation.turn(session, delivery, now_s):
                delivery.settle(session.step(_TICK_S))
                continue
            if now_s >= self._status_due_s or failing != self._outbox.failing:
                failing = self._outbox.failing
                self._status_due_s = now_s + STATUS_INTERVAL_S
                delivery.say(self._dialect.status(self._status("online")))
            if self._news:
                self._news = False
                delivery.look()
            if self._timekeeper.look():
                delivery.repeat_states()
                self._status_due_s = now_s
            rest_s = delivery.fill()
            delivery.settle(session.step(min(rest_s, _TICK_S)))
            if delivery.quiet_s > 2 * self._config.keepalive_s:
                raise BrokerError(advice.deaf(self._config, delivery.quiet_s))
        self._conversation.say_all(delivery)
        delivery.say(self._dialect.status(self._status("offline", reason="stopped")))
        goodbye_by_s = self._monotonic() + _GOODBYE_S
        while not delivery.idle and (remaining_s := goodbye_by_s - self._monotonic()) > 0:
            delivery.settle(session.step(remaining_s))
        delivery.finish()

    def _all_sent(self, delivery: Delivery) -> bool:
        """Idle is not enough: what was committed last may not have been looked at yet."""
        return delivery.idle and not self._news

    def _cancelled(self) -> bool:
        self._last_progress_s = self._monotonic()
        return self._may_end()

    def _may_end(self) -> bool:
        """Whether, with nobody to send it to, there is any reason to go on."""
        if self._stop_by_s is None:
            return False
        if self._away or self._monotonic() > self._stop_by_s:
            return True
        return not (self._outbox.stats().pending or self._outbox.states(only_dirty=True))

    def _pause(self, pause_s: float) -> None:
        """Wait; a request to stop ends it."""
        until_s = self._monotonic() + pause_s
        poll = select.poll()
        poll.register(self._waker.fileno(), select.POLLIN)
        stopping = self._stop_by_s is not None
        while (remaining_s := until_s - self._monotonic()) > 0 and stopping == (self._stop_by_s is not None):
            self._last_progress_s = self._monotonic()
            poll.poll(min(remaining_s, _TICK_S) * 1000)
            self._waker.clear()

    def _status(self, status: Literal["online", "offline"], reason: str | None = None) -> DeviceStatusMessage:
        return DeviceStatusMessage(
            device=self._topics.device,
            status=status,
            reason=reason,
            at=utc(self._clock()),
            clock=Clock(quality=self._quality(), boot_id=self._boot_id, monotonic_s=round(self._monotonic(), 6)),
            version=edge.__version__,
            epoch=self._outbox.epoch,
            config_error=self._config_error,
            outbox=self._outbox.stats() if status == "online" else None,
        )
