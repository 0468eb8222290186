"""Getting connected: in which version of MQTT, and how long to wait before the next attempt."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from edge.errors import BrokerError
from edge.publisher import advice
from edge.publisher.dialing import dial
from edge.publisher.session import Notice, Session, Version, Will, WrongVersionError
from edge.waker import Waker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.config import MqttConfig

_SILENCE_S = 2.0
"""Silence about one version for so long is reason to try the other."""


class Connector:
    """Opens sessions: in MQTT 5 or, where the broker does not know it, in 3.1.1, which it then remembers.

    Of several brokers that stand in for each other, the one that was good last is tried first, then the others in turn.
    """

    def __init__(self, config: MqttConfig, client_id: str, waker: Waker) -> None:
        self._config = config
        self._brokers = [msgspec.structs.replace(config, host=host, port=port) for host, port in config.addresses()]
        self._client_id = client_id
        self._waker = waker
        self._versions: tuple[Version, ...] = ("5", "3.1.1") if config.version == "auto" else (config.version,)

    def connect(self, will: Will | None, cancelled: Callable[[], bool] = lambda: False) -> Session:
        """Connect; ``cancelled`` is asked several times a second.

        Raises:
            BrokerError: that failed, at every broker.
        """
        failures: list[BrokerError] = []
        for broker in list(self._brokers):
            try:
                session = self._connect_to(broker, will, cancelled)
            except BrokerError as failure:
                failures.append(failure)
                if cancelled():
                    break
                continue
            first = self._brokers.index(broker)
            self._brokers = self._brokers[first:] + self._brokers[:first]
            return session
        raise failures[0] if len(failures) == 1 else BrokerError("; ".join(map(str, failures)))

    def _connect_to(self, broker: MqttConfig, will: Will | None, cancelled: Callable[[], bool]) -> Session:
        failures: list[WrongVersionError] = []
        for version in self._versions:
            patience_s = broker.connect_timeout_s
            if version != self._versions[-1]:
                patience_s = min(patience_s, _SILENCE_S)
            session = dial(partial(Session, broker, version, self._client_id, will, self._waker), cancelled)
            try:
                session.wait_until_open(patience_s, cancelled)
            except WrongVersionError as failure:
                session.abort()
                failures.append(failure)
                continue
            except BaseException:
                session.abort()
                raise
            if any(failure.certain for failure in failures):
                # A broker that was merely silent or hung up may have been busy or ending: version 5 is tried again.
                self._versions = tuple(sorted(self._versions, key=lambda other: other != version))
            return session
        raise failures[0] if failures[0].certain else failures[-1]


class Backoff:
    """Pauses that grow from ``first_s`` to ``longest_s``, each by chance up to half shorter: devices spread out."""

    def __init__(self, first_s: float, longest_s: float, chance: Callable[[], float] = random.random) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._chance = chance
        self._pause_s = first_s

    def next_s(self) -> float:
        """Return the next pause, in seconds."""
        pause_s = min(self._pause_s, self._longest_s)
        self._pause_s = 2 * pause_s
        return pause_s * (0.5 + 0.5 * self._chance())

    def reset(self) -> None:
        """Begin with short pauses again."""
        self._pause_s = self._first_s


def probe_broker(config: MqttConfig, timeout_s: float, *, say: str | None = None, hear: Sequence[str] = ()) -> str:
    """Connect once, as a client of its own that disturbs nobody, and say in which version: ``MQTT 5``.

    An empty message on the topic ``say`` and subscriptions to the topics ``hear`` try what the broker allows; in MQTT
    3.1.1 it keeps to itself what it thinks of the message.

    Raises:
        BrokerError: what is wrong, and what to do about it.
    """
    waker = Waker()
    try:
        patient = msgspec.structs.replace(config, connect_timeout_s=timeout_s)
        client_id = f"sightpost-probe-{random.randrange(16**8):08x}"  # noqa: S311  no secret
        session = Connector(patient, client_id, waker).connect(will=None)
        try:
            for topic in hear:
                session.subscribe(topic)
            if say is not None:
                _speak(session, config, say, timeout_s)
            session.close()
        finally:
            session.abort()
        return f"MQTT {session.version}"
    finally:
        waker.close()


def _speak(session: Session, config: MqttConfig, topic: str, timeout_s: float) -> None:
    """Say nothing, and wait for what the broker makes of that, and of the subscriptions before."""
    session.publish(Notice(topic, b""))
    give_up_s = time.monotonic() + timeout_s
    while not (acks := session.step(max(0.0, give_up_s - time.monotonic()))):
        if time.monotonic() > give_up_s:
            raise BrokerError(advice.deaf(config, timeout_s))
    if acks[0].refusal is not None:
        raise BrokerError(advice.not_allowed(config, "say", topic, acks[0].refusal))
    for denied in session.denied():
        raise BrokerError(advice.not_allowed(config, "hear", denied, "subscription refused"))
