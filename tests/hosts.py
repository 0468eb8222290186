"""A host application of Sparkplug: hears everything in its namespace, and remembers it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.sparkplug.payload import _payload_class

if TYPE_CHECKING:
    from typing import Self

# NCMD with "Node Control/Rebirth" true, as another implementation (pysparkplug 0.6.1) writes it.
REBIRTH = bytes.fromhex("08e807121d") + b"\x0a\x14Node Control/Rebirth" + bytes.fromhex("18e807200b") + b"\x70\x01"


@dataclass(frozen=True)
class Told:
    """A message: ``kind`` is NBIRTH, NDATA or NDEATH; ``values`` by metric, ``None`` for what is null."""

    kind: str
    seq: int | None
    values: dict[str, Any]
    times_ms: dict[str, int]
    historical: frozenset[str]
    retained: bool


def decode(topic: str, payload: bytes, *, retained: bool = False) -> Told:
    read = _payload_class().FromString(payload)
    values = {each.name: None if each.is_null else getattr(each, each.WhichOneof("value")) for each in read.metrics}
    return Told(
        topic.split("/")[2],
        read.seq if read.HasField("seq") else None,
        values,
        {each.name: each.timestamp for each in read.metrics},
        frozenset(each.name for each in read.metrics if each.is_historical),
        retained,
    )


@dataclass
class Host:
    port: int
    told: list[Told] = field(default_factory=list)
    other_topics: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.subscribed = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_disconnect = lambda *_: self.subscribed.clear()
        self.client.on_message = self._on_message
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        assert self.subscribed.wait(15)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def kinds(self) -> list[str]:
        return [each.kind for each in list(self.told)]

    def of(self, kind: str) -> list[Told]:
        return [each for each in list(self.told) if each.kind == kind]

    def labels(self, watch: str = "gate") -> list[str]:
        """What data told of a watch, in order."""
        return [each.values[f"{watch}/label"] for each in self.of("NDATA") if f"{watch}/label" in each.values]

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.startswith("spBv1.0/plant 1/N"):
            if "/NCMD/" not in message.topic:
                self.told.append(decode(message.topic, message.payload, retained=message.retain))
        else:
            self.other_topics.append(message.topic)
