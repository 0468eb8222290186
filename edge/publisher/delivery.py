"""What is under way on one connection: live states first, then events in order, never more than a window at a time."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from edge.messages import is_picture
from edge.publisher.dialect import Standing
from edge.publisher.misfits import HANG_UPS
from edge.record import Record
from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edge.outbox import Outbox
    from edge.publisher.dialect import Dialect
    from edge.publisher.misfits import Misfits
    from edge.publisher.pace import Pace
    from edge.publisher.session import Ack, Notice, Session
    from edge.publisher.timekeeper import Timekeeper
    from edge.throttle import Throttle

logger = logging.getLogger(__name__)

LIVE_S = 2.0
"""What is sent later than this after it was handed to the outbox says of itself that it is replayed."""
_READ_AHEAD = 500
_GRACE_S = 1.0
"""An acknowledgement counts when the connection has lived on for so long: mosquitto acknowledges first and writes then.
If it is killed between the two, what it had acknowledged last is sent again."""
_RETRY_S = 1.0
"""The first pause after a refusal that may pass; each further one is twice as long."""
_ATTEMPTS = 5
_HEADER_BYTES = 16
"""More than MQTT needs beside topic and payload: fixed header, lengths, message number, no properties."""


class _Attempt(Value, frozen=True):
    due_s: float
    record: Record


class Delivery:
    """Sends what the outbox holds over one session and tells the outbox what became of it. For one thread."""

    def __init__(
        self,
        outbox: Outbox,
        session: Session,
        *,
        dialect: Dialect,
        misfits: Misfits,
        pace: Pace,
        timekeeper: Timekeeper,
        monotonic: Callable[[], float],
        throttle: Throttle,
    ) -> None:
        self._outbox = outbox
        self._session = session
        self._dialect = dialect
        self._misfits = misfits
        self._pace = pace
        self._timekeeper = timekeeper
        self._monotonic = monotonic
        self._throttle = throttle
        self._states: dict[str, Record] = {}
        self._pictures: dict[str, Record] = {}
        self._said: dict[str, str] = {}
        self._events: deque[Record] = deque()
        self._last_event: Record | None = None
        self._more_events = True
        self._in_flight: dict[int, Record | Notice] = {}
        self._acknowledged: deque[tuple[float, Record]] = deque()
        self._again: deque[_Attempt] = deque()
        self._attempts: dict[str, int] = {}
        self._listening = False
        self._just_refused = False
        self._rest_s = float("inf")
        self._last_ack_s = monotonic()
        self.repeat_states()

    @property
    def idle(self) -> bool:
        """Nothing is under way and nothing is left to send."""
        waiting = self._states or self._pictures or self._events or self._more_events
        return not (self._in_flight or self._attempts or waiting)

    @property
    def quiet_s(self) -> float:
        """For how long the broker has owed us an acknowledgement."""
        return self._monotonic() - self._last_ack_s if self._in_flight else 0.0

    def repeat_states(self) -> None:
        """Say all states again; of pictures, which are large, only those that no broker has taken yet."""
        for record in self._outbox.states(only_dirty=False):
            if not self._misfits.is_guilty(record) and not is_picture(record.topic):
                self._states[record.topic] = record
        self._take_pictures(self._outbox.states(only_dirty=True))

    def look(self) -> None:
        """See what is new in the outbox."""
        self._more_events = True
        dirty = self._outbox.states(only_dirty=True)
        for record in dirty:
            if self._said.get(record.topic) != record.id and not is_picture(record.topic):
                self._states[record.topic] = record
        self._take_pictures(dirty)

    def say(self, notice: Notice) -> None:
        """Send something that is not from the outbox, ahead of everything that is; not what was just refused."""
        if not self._misfits.is_denied(notice.topic, self._monotonic()):
            self._note(self._session.publish(notice), notice)

    def fill(self) -> float:
        """Send as much as window and pace allow; returns for how many seconds there is nothing to do but to listen."""
        self._rest_s = float("inf")
        while len(self._in_flight) < self._window and (record := self._next()) is not None:
            self._send(record)
        return self._rest_s

    def lost(self) -> bool:
        """Draw conclusions from the end of the connection; returns whether a message was to blame for it."""
        self._misfits.repeated.update(record.id for _, record in self._acknowledged)
        if self._just_refused:  # over TLS mosquitto 2.0.11 hangs up after every refusal
            return True
        oldest = next((sent for sent in self._in_flight.values() if isinstance(sent, Record)), None)
        if oldest is None:
            return False
        if not self._misfits.hung_up(oldest, listening=self._listening, code=self._session.end_code):
            return False
        self._refuse(oldest, f"the broker hung up {HANG_UPS} times when it was sent this")
        return True

    def settle(self, acks: Iterable[Ack]) -> None:
        """Tell the outbox what the broker said."""
        for ack in acks:
            record = self._in_flight.pop(ack.mid, None)
            self._last_ack_s = self._monotonic()
            self._listening = True
            self._just_refused = ack.refusal is not None
            if not isinstance(record, Record):
                self._hear_about(record, ack)
                continue
            self._misfits.acknowledged(record)
            if ack.refusal is None:
                self._attempts.pop(record.id, None)
                if record.id in self._misfits.repeated:
                    self._misfits.repeated.discard(record.id)
                    self._outbox.delivered(record)
                else:
                    self._acknowledged.append((self._last_ack_s, record))
            elif not (ack.transient and self._try_again(record)):
                self._refuse(record, f"refused by the broker: {ack.refusal}")

        self._forget(before_s=self._monotonic() - _GRACE_S)

    def finish(self) -> None:
        """The connection ends in order: all that was acknowledged counts."""
        self._forget(before_s=float("inf"))

    def _forget(self, before_s: float) -> None:
        while self._acknowledged and self._acknowledged[0][0] <= before_s:
            self._outbox.delivered(self._acknowledged.popleft()[1])

    def _next(self) -> Record | None:
        if self._states:
            topic = next(iter(self._states))
            record = self._states.pop(topic)
            self._said[topic] = record.id
            return record
        if self._attempts:  # what comes later waits, so that the order changes as little as can be
            return self._next_attempt()
        if not self._events and self._more_events:
            self._events.extend(self._outbox.events(self._last_event, limit=_READ_AHEAD))
            self._more_events = bool(self._events)
        if not self._events:
            return self._next_picture()
        if not self._is_live(self._events[0]):
            self._rest_s = self._pace.wait_s(self._monotonic())
            if self._rest_s > 0.0:
                return None
            self._pace.spend()
        self._last_event = self._events.popleft()
        return self._last_event

    def _next_attempt(self) -> Record | None:
        """What was put back for a while, when its time has come."""
        while self._again:
            self._rest_s = max(0.0, self._again[0].due_s - self._monotonic())
            if self._rest_s > 0.0:
                return None
            record = self._again.popleft().record
            if not record.retain or self._said[record.topic] == record.id:
                return record
            del self._attempts[record.id]  # a newer state has been said meanwhile
        if not self._attempts:
            self._rest_s = 0.0  # what has waited for it may go at once
        return None

    def _take_pictures(self, dirty: Iterable[Record]) -> None:
        for record in dirty:
            known = self._said.get(record.topic) == record.id or self._misfits.is_guilty(record)
            if is_picture(record.topic) and not known:
                self._pictures[record.topic] = record

    def _next_picture(self) -> Record | None:
        """One at a time, when nothing else waits: on a slow link it takes long, and what comes next waits behind it."""
        if any(isinstance(sent, Record) and is_picture(sent.topic) for sent in self._in_flight.values()):
            return None
        if not self._pictures:
            return None
        record = self._pictures.pop(next(iter(self._pictures)))
        self._said[record.topic] = record.id
        return record

    @property
    def _window(self) -> int:
        return 1 if self._misfits.alone else self._session.window

    def _is_live(self, record: Record) -> bool:
        return not record.earlier and self._monotonic() - record.stamp.monotonic_s <= LIVE_S

    def _try_again(self, record: Record) -> bool:
        """Put a message back for a while, after a refusal that may pass; ``False`` when that was tried enough."""
        attempts = self._attempts.pop(record.id, 1)
        if attempts >= _ATTEMPTS:
            return False
        self._attempts[record.id] = attempts + 1
        self._again.append(_Attempt(self._monotonic() + _RETRY_S * 2.0 ** (attempts - 1), record))
        return True

    def _send(self, record: Record) -> None:
        limit_bytes = self._session.max_packet_bytes
        if len(record.payload) + len(record.topic) + _HEADER_BYTES > limit_bytes:
            self._refuse(record, f"larger than the {limit_bytes} bytes that the broker takes")
            return
        behind = bool(self._events) and not self._is_live(self._events[0])
        standing = Standing(live=self._is_live(record), behind=behind)
        try:
            notice = self._dialect.record(record, self._timekeeper.put_right(record), standing)
            if notice is None:  # it is told with another one
                self._outbox.delivered(record)
                return
            mid = self._session.publish(notice)
        except ValueError as error:
            self._refuse(record, f"not possible in MQTT: {error}")
            return
        self._note(mid, record)

    def _note(self, mid: int, sent: Record | Notice) -> None:
        if not self._in_flight:
            self._last_ack_s = self._monotonic()
        self._in_flight[mid] = sent

    def _hear_about(self, notice: Notice | None, ack: Ack) -> None:
        if ack.refusal is None or notice is None:
            return
        self._misfits.deny(notice.topic, self._monotonic())
        if self._throttle.allows(f"{notice.topic} {ack.refusal}"):
            logger.warning("The broker does not let this device speak on %s: %s", notice.topic, ack.refusal)

    def _refuse(self, record: Record, reason: str) -> None:
        self._misfits.convict(record)
        if not self._misfits.is_new(record):
            return
        self._outbox.refused(record, reason)
        if self._throttle.allows(f"{record.topic} {reason}"):
            logger.warning("A message on %s is set aside among the dead letters: %s", record.topic, reason)
