"""One MQTT connection, from its first packet to its end, driven by the thread that calls it.

A connection is never made again with the same paho client: whatever the old one had queued would be sent a second time,
all at once. What must be sent again is in the outbox.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from typing import TYPE_CHECKING, Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.errors import BrokerError
from edge.publisher import advice, credentials
from edge.publisher.client import Client
from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.enums import MQTTProtocolVersion
    from paho.mqtt.reasoncodes import ReasonCode

    from edge.config import MqttConfig
    from edge.waker import Waker

Version = Literal["5", "3.1.1"]

_PROTOCOLS: dict[Version, MQTTProtocolVersion] = {"5": mqtt.MQTTv5, "3.1.1": mqtt.MQTTv311}
_REFUSED = 128  # MQTT 5, 2.4: this and above are failures; paho translates the codes of 3.1.1 to these
_WRONG_VERSION = 132
_LOOK_S = 1
"""paho asks after one keepalive and gives up after another, each up to a second late: shorter, both fit into two."""
_TRANSIENT = frozenset({128, 131, 145, 151})
"""MQTT 5, 3.4.2.1: unspecified, implementation specific, packet identifier in use, quota exceeded."""


class WrongVersionError(BrokerError):
    """The broker does not speak this version of MQTT: it says so (``certain``), is silent, or hangs up at once."""

    def __init__(self, message: str, *, certain: bool) -> None:
        super().__init__(message)
        self.certain = certain


class Will(Value, frozen=True):
    """What the broker says for us when we are gone without a word."""

    topic: str
    payload: bytes
    retain: bool = True


class Notice(Value, frozen=True):
    """Something to be said. ``correlation`` tells who asked (MQTT 5) what it answers."""

    topic: str
    payload: bytes
    retain: bool = False
    correlation: bytes | None = None


class Ack(Value, frozen=True):
    """The broker's answer to a publish; ``refusal`` says why it does not want it, ``transient`` that it may yet."""

    mid: int
    refusal: str | None
    transient: bool = False


class Heard(Value, frozen=True):
    """A message of a subscription; ``retained`` if it was said before we subscribed.

    ``response_topic`` and ``correlation`` are where and under which mark its sender wants an answer (MQTT 5).
    """

    topic: str
    payload: bytes
    retained: bool
    response_topic: str | None = None
    correlation: bytes | None = None


class Session:
    """An open connection. Every method raises ``BrokerError`` once it is lost."""

    def __init__(self, config: MqttConfig, version: Version, client_id: str, will: Will | None, waker: Waker) -> None:
        """Open the TCP connection and ask to be let in; ``wait_until_open`` says whether we were.

        Raises:
            BrokerError: nobody answers there.
        """
        self.version: Version = version
        self.window = config.max_inflight
        self.max_packet_bytes = 268_435_455
        self._config = config
        self._waker = waker
        self._acks: list[Ack] = []
        self._heard: list[Heard] = []
        self._subscriptions: dict[int, str] = {}
        self._denied: list[str] = []
        self._open = False
        self._end: tuple[int, str] | None = None
        self._refusal: BrokerError | None = None
        self._client = self._new_client(client_id, will)
        try:
            self._client.connect(config.host, config.port, keepalive=config.keepalive_s - _LOOK_S)
        except OSError as error:
            raise BrokerError(advice.unreachable(config, error, time.time())) from error
        self._poll = select.poll()
        self._poll.register(waker.fileno(), select.POLLIN)

    def wait_until_open(self, patience_s: float, cancelled: Callable[[], bool]) -> None:
        """Wait for the broker's welcome, for so many seconds, and ask ``cancelled`` every now and then.

        Raises:
            WrongVersionError: it may let us in with the other version.
            BrokerError: it refuses, or ``cancelled`` said that nobody waits any longer.
        """
        deadline_s = time.monotonic() + patience_s
        while not self._open:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                # Some brokers wait for ever for the rest of a CONNECT of version 5, which they take for one of 3.1.1.
                raise WrongVersionError(advice.silent(self._config, patience_s), certain=False)
            if cancelled():
                raise BrokerError("stopped while connecting")
            try:
                self.step(min(remaining_s, 1.0))
            except BrokerError as error:
                if self._refusal is not None:
                    raise self._refusal from error
                raise WrongVersionError(advice.hung_up(self._config), certain=False) from error

    def publish(self, notice: Notice) -> int:
        """Queue a message (QoS 1) and return its number, which its ``Ack`` will have.

        Raises:
            ValueError: MQTT cannot say this.
            BrokerError: the connection is lost.
        """
        properties = None
        if notice.correlation is not None and self.version == "5":
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.CorrelationData = notice.correlation
        info = self._client.publish(notice.topic, notice.payload, 1, notice.retain, properties)
        if info.rc != mqtt.MQTT_ERR_SUCCESS:
            raise self._lost()
        return info.mid

    def subscribe(self, topic: str) -> None:
        """Ask for messages (QoS 1), which ``heard`` will return."""
        _, number = self._client.subscribe(topic, qos=1)
        if number is not None:
            self._subscriptions[number] = topic

    def denied(self) -> list[str]:
        """Return the subscriptions that the broker has refused since the last call."""
        denied, self._denied = self._denied, []
        return denied

    def heard(self) -> list[Heard]:
        """Return the messages that have come since the last call."""
        heard, self._heard = self._heard, []
        return heard

    def step(self, timeout_s: float) -> list[Ack]:
        """Send and receive what there is, waiting for something to happen for up to ``timeout_s``.

        Raises:
            BrokerError: the connection is lost.
        """
        if self._client.want_write():
            self._client.loop_write()
        connection = self._client.socket()
        if connection is None:
            raise self._lost()
        interest = select.POLLIN | (select.POLLOUT if self._client.want_write() else 0)
        # What TLS has decrypted already no longer shows at the socket.
        decrypted = isinstance(connection, ssl.SSLSocket | mqtt._WebsocketWrapper) and connection.pending() > 0  # noqa: SLF001  it has no public name
        self._poll.register(connection.fileno(), interest)
        ready = dict(self._poll.poll(0 if decrypted else max(0.0, timeout_s) * 1000.0))
        self._poll.unregister(connection.fileno())
        if ready.pop(self._waker.fileno(), 0):
            self._waker.clear()
        if ready or decrypted:
            self._client.loop_read()
            self._acknowledge_at_once()
        self._client.loop_misc()
        if self._client.socket() is None and not self._acks:  # what came before the end counts
            raise self._lost()
        acks, self._acks = self._acks, []
        return acks

    @property
    def lost(self) -> bool:
        """The connection is gone, and not by our doing."""
        return self._client.socket() is None

    @property
    def end_code(self) -> int | None:
        """Why the broker ended the connection, if it did and said so (MQTT 5, 2.4)."""
        return None if self._end is None else self._end[0]

    def close(self) -> None:
        """Say goodbye, so that the broker keeps the last will to itself, and close."""
        if self._client.socket() is not None:
            self._client.disconnect()
            self._client.loop_write()
        self.abort()

    def abort(self) -> None:
        """Close without a word."""
        connection = self._client.socket()
        if connection is not None:
            connection.close()

    def _new_client(self, client_id: str, will: Will | None) -> mqtt.Client:
        config = self._config
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=_PROTOCOLS[self.version],
            transport=config.transport,
            reconnect_on_failure=False,
        )
        client.connect_timeout = config.connect_timeout_s
        client.max_inflight_messages_set(0)  # the window is ours to keep
        if config.username is not None:
            client.username_pw_set(config.username, credentials.read_password(config))
        if config.tls is not None:
            client.tls_set_context(credentials.tls_context(config.tls))
        if config.transport == "websockets":
            client.ws_set_options(config.websocket_path)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_socket_open = self._on_socket_open
        # With this callback set, publish() only queues and step() does all the sending.
        client.on_socket_register_write = lambda _client, _userdata, _socket: None
        return client

    def _acknowledge_at_once(self) -> None:
        """Confirm what came: a broker that gathers small packets (Nagle) would wait 40 ms for the kernel to do it."""
        connection = self._client.socket()
        if isinstance(connection, socket.socket) and hasattr(socket, "TCP_QUICKACK"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _on_socket_open(self, _client: mqtt.Client, _userdata: object, connection: object) -> None:
        if isinstance(connection, socket.socket):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.value >= _REFUSED:
            message = advice.refused(self._config, self.version, reason.value, str(reason))
            wrong_version = reason.value == _WRONG_VERSION
            self._refusal = WrongVersionError(message, certain=True) if wrong_version else BrokerError(message)
            return
        # MQTT 5, 3.2.2.3: how many unacknowledged messages and how large a packet the broker takes.
        self.window = min(self.window, getattr(properties, "ReceiveMaximum", self.window))
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", self.max_packet_bytes)
        self._open = True

    def _on_publish(
        self, _client: mqtt.Client, _userdata: object, mid: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        refusal = str(reason) if reason.value >= _REFUSED else None
        self._acks.append(Ack(mid, refusal, reason.value in _TRANSIENT))

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        properties = message.properties
        try:
            topic = message.topic
        except UnicodeDecodeError:  # nothing that we have asked for
            return
        self._heard.append(
            Heard(
                topic,
                bytes(message.payload),
                message.retain,
                getattr(properties, "ResponseTopic", None),
                getattr(properties, "CorrelationData", None),
            )
        )

    def _on_subscribe(
        self,
        _client: mqtt.Client,
        _userdata: object,
        number: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        topic = self._subscriptions.pop(number, "")
        if any(reason.value >= _REFUSED for reason in reasons):
            self._denied.append(topic)

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._end = (reason.value, str(reason))

    def _lost(self) -> BrokerError:
        return BrokerError(advice.lost(self._config, self._end))
