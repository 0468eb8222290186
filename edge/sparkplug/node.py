"""An edge node of Sparkplug B: says with births, data and deaths what the outbox holds.

Every watch is a folder of metrics, so is every camera. The birth tells all of them, the data what changes. What a host
was already told a newer value of is told as historical: it belongs into the archive, not onto the screen.

Births and data are published with QoS 1 where the specification wants 0; see docs/decisions/0040.
"""

from __future__ import annotations

import logging
import math
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

import edge
from edge.errors import BrokerError
from edge.publisher.session import Notice, Will
from edge.sparkplug.metrics import numbers, read, said, unknown
from edge.sparkplug.payload import DataType, Metric, encode, read_flags, require_protobuf
from edge.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from edge.config import SparkplugConfig
    from edge.messages import DeviceStatusMessage, Topics
    from edge.publisher.dialect import Standing
    from edge.publisher.session import Heard
    from edge.record import Record
    from edge.sparkplug.counter import ConnectionCounter

logger = logging.getLogger(__name__)

_NAMESPACE = "spBv1.0"
_REBIRTH = "Node Control/Rebirth"
_REBIRTH_PAUSE_S = 1.0
"""Hosts that come up together ask all at once; one birth serves them."""
_SEQUENCES = 256


class _HostState(msgspec.Struct):
    """What a host application says of itself."""

    online: bool
    timestamp: int = 0


class Node:
    """The dialect of ``[sparkplug]``. For the publisher's thread.

    Args:
        config: group, node and primary host.
        topics: of the records in the outbox.
        watches, cameras: names that the birth tells even before anything is known of them.
        states: reads the newest state of every topic.
        connections: counts them (``bdSeq``).
        clock: UTC seconds since 1970.
    """

    def __init__(
        self,
        config: SparkplugConfig,
        topics: Topics,
        *,
        watches: Iterable[str],
        cameras: Iterable[str],
        states: Callable[[], list[Record]],
        connections: ConnectionCounter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        require_protobuf()
        self._base = f"{topics.prefix}/{topics.device}/"
        self._group, self._node = config.group_id, config.node_id or topics.device
        self._host = config.primary_host_id
        self._names = {*(f"{watch}/state" for watch in watches), *(f"camera/{name}/status" for name in cameras)}
        self._states = states
        self._connections = connections
        self._clock = clock
        self._throttle = Throttle()
        self._born_s = -math.inf
        self._begin(0)

    @property
    def subscriptions(self) -> Sequence[str]:
        """Commands, and how the primary host is."""
        commands = self._topic("NCMD")
        return (commands,) if self._host is None else (commands, self._host_topic)

    @property
    def ready(self) -> bool:
        """Whether the primary host listens.

        Raises:
            BrokerError: it has left; the broker then tells our death, and we begin anew.
        """
        if self._host_left:
            raise BrokerError(f"the primary host application {self._host!r} is offline")
        return self._host is None or self._host_online

    def will(self, last: DeviceStatusMessage) -> Will:  # noqa: ARG002  a death has nothing else to say
        """Count a new connection, whose death carries its number."""
        self._begin(self._connections.next())
        return Will(self._topic("NDEATH"), self._death(), retain=False)

    def heard(self, message: Heard) -> None:
        """Take a command to be born again, or the state of the primary host."""
        if message.topic == self._topic("NCMD"):
            self._take_command(message.payload)
        elif self._host is not None and message.topic == self._host_topic:
            self._take_host_state(message.payload)

    def due(self, now_s: float) -> Sequence[Notice]:
        """A birth, at first and when a host has asked for it."""
        if not self._birth_wanted or now_s - self._born_s < _REBIRTH_PAUSE_S:
            return ()
        self._born_s = now_s
        return (self._birth(),)

    def status(self, status: DeviceStatusMessage) -> Notice:
        """Say the outbox's numbers, or goodbye."""
        if status.status == "offline":
            return Notice(self._topic("NDEATH"), self._death())
        return self._data(numbers(status, self._now_ms()))

    def record(self, record: Record, payload: bytes, standing: Standing) -> Notice | None:
        """Say a record as metrics; what Sparkplug has no word for keeps its own topic and form.

        Raises:
            ValueError: it is damaged.
        """
        if not record.payload:  # our own dialect once said something here, and takes it back
            return Notice(record.topic, b"", retain=True)
        name = record.topic.removeprefix(self._base)
        match name.split("/"):
            case [watch, "event"]:
                return self._event(record, watch, read(payload))
            case [_, "state"] | ["camera", _, "status"]:
                return self._state(record, name, payload, standing)
            case ["gap"]:
                return self._data(said(name, read(payload)))
            case _:
                return Notice(record.topic, payload, retain=record.retain)

    def _begin(self, number: int) -> None:
        self._number = number
        self._sequence = 0
        self._birth_wanted = True
        self._born_s = -math.inf
        self._host_online = self._host_left = False
        self._host_since_ms = -1
        self._told_ids: dict[str, str] = {}
        self._told_s: dict[str, float] = {}

    def _event(self, record: Record, watch: str, fields: dict[str, Any]) -> Notice:
        name = f"{watch}/state"
        if name not in self._names:  # new, or gone from the configuration and left in the backlog
            first = said(name, fields)
            self._names.add(name)
            self._told_s[watch] = -math.inf if record.earlier else record.stamp.monotonic_s
            return self._birth({name: first})
        told_s = self._told_s.get(watch)
        historical = told_s is not None and (record.earlier or record.stamp.monotonic_s <= told_s)
        if not historical:
            self._told_s[watch] = -math.inf if record.earlier else record.stamp.monotonic_s
        return self._data(said(name, fields, historical=historical))

    def _state(self, record: Record, name: str, payload: bytes, standing: Standing) -> Notice | None:
        if self._told_ids.get(record.topic) == record.id:
            return None
        if name not in self._names:
            return self._birth()
        if name.endswith("/state") and standing.live and not standing.behind:
            return None  # its event comes next and says the same
        self._tell(record)
        return self._data(said(name, read(payload)))

    def _tell(self, record: Record) -> None:
        """Note that the host knows this state."""
        self._told_ids[record.topic] = record.id
        watch, _, kind = record.topic.removeprefix(self._base).partition("/")
        if kind == "state":
            self._told_s[watch] = -math.inf if record.earlier else record.stamp.monotonic_s

    def _birth(self, told: Mapping[str, list[Metric]] = MappingProxyType({})) -> Notice:
        """Tell every metric there is, with what is known or ``told`` of it; from here on the sequence counts anew."""
        self._birth_wanted = False
        self._sequence = 0
        now_ms = self._now_ms()
        metrics = [
            Metric("bdSeq", DataType.INT64, self._number, now_ms),
            Metric(_REBIRTH, DataType.BOOLEAN, value=False, timestamp_ms=now_ms),
            Metric("device/version", DataType.STRING, edge.__version__, now_ms),
            *numbers(None, now_ms),
            *unknown("gap", now_ms),
        ]
        known = {record.topic.removeprefix(self._base): record for record in self._states() if record.payload}
        self._names.update(filter(_has_metrics, known))
        for name in sorted(self._names):
            metrics += told.get(name) or self._current(name, known.get(name)) or unknown(name, now_ms)
        return self._sent("NBIRTH", metrics)

    def _current(self, name: str, state: Record | None) -> list[Metric]:
        if state is None:
            return []
        try:
            metrics = said(name, read(state.payload))
        except ValueError:  # from a store that another version wrote; the next state mends it
            return []
        self._tell(state)
        return metrics

    def _death(self) -> bytes:
        now_ms = self._now_ms()
        return encode(now_ms, [Metric("bdSeq", DataType.INT64, self._number, now_ms)], seq=None)

    def _data(self, metrics: Sequence[Metric]) -> Notice:
        return self._sent("NDATA", metrics)

    def _sent(self, kind: str, metrics: Sequence[Metric]) -> Notice:
        payload = encode(self._now_ms(), metrics, seq=self._sequence)
        self._sequence = (self._sequence + 1) % _SEQUENCES
        return Notice(self._topic(kind), payload)

    def _take_command(self, payload: bytes) -> None:
        try:
            wants = read_flags(payload).get(_REBIRTH, False)
        except ValueError as error:
            if self._throttle.allows("command"):
                logger.warning("A command on %s is not understood: %s", self._topic("NCMD"), error)
            return
        self._birth_wanted = self._birth_wanted or wants

    def _take_host_state(self, payload: bytes) -> None:
        try:
            state = msgspec.json.decode(payload, type=_HostState)
        except (ValueError, RecursionError):
            if self._throttle.allows("host"):
                logger.warning("%s says something else than a host of Sparkplug 3: it is ignored", self._host_topic)
            return
        if state.timestamp < self._host_since_ms:
            return  # the death of an earlier connection of the host, told late
        self._host_since_ms = state.timestamp
        self._host_left = self._host_online and not state.online
        self._host_online = state.online

    @property
    def _host_topic(self) -> str:
        return f"{_NAMESPACE}/STATE/{self._host}"

    def _topic(self, kind: str) -> str:
        return f"{_NAMESPACE}/{self._group}/{kind}/{self._node}"

    def _now_ms(self) -> int:
        return max(0, round(self._clock() * 1000))


def _has_metrics(name: str) -> bool:
    """Whether a birth tells of what is retained there; a watch may be named ``camera``."""
    match name.split("/"):
        case [_, "state"] | ["camera", _, "status"]:
            return True
    return False
