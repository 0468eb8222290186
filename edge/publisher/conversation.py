"""What is heard and said on a connection besides the outbox's records."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol

from edge.publisher import advice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.config import MqttConfig
    from edge.publisher.delivery import Delivery
    from edge.publisher.dialect import Dialect
    from edge.publisher.session import Heard, Notice, Session
    from edge.throttle import Throttle

logger = logging.getLogger(__name__)

_NOTICES_MAX = 100
"""So many may wait to be said; when nobody listens, the oldest answers to commands are worth least."""


class Listener(Protocol):
    """Whoever wants to hear what others say. Called on the publisher's thread, so it must be quick.

    What it answers goes through ``Publisher.say``.
    """

    @property
    def subscriptions(self) -> Sequence[str]:
        """The topics, with wildcards, that it wants to hear; asked for after every connection."""

    def heard(self, message: Heard) -> None:
        """Take a message; it may be another listener's."""

    def tick(self, now_s: float) -> None:
        """Look at the clock (monotonic seconds); called at least once a second while connected."""


class Conversation:
    """Hands what is heard to dialect and listeners, and what they have to say to the delivery. For one thread."""

    def __init__(self, config: MqttConfig, dialect: Dialect, throttle: Throttle) -> None:
        self.listeners: list[Listener] = []
        self._config = config
        self._dialect = dialect
        self._throttle = throttle
        self._notices: deque[Notice] = deque(maxlen=_NOTICES_MAX)

    def add(self, notice: Notice) -> None:
        """Have something said soon; from any thread."""
        self._notices.append(notice)

    def begin(self, session: Session) -> None:
        """Ask for all that is to be heard."""
        for topic in self._dialect.subscriptions:
            session.subscribe(topic)
        for listener in self.listeners:
            for topic in listener.subscriptions:
                session.subscribe(topic)

    def turn(self, session: Session, delivery: Delivery, now_s: float) -> bool:
        """Hear, and say what is due; returns whether there is anybody to talk to at all.

        Raises:
            BrokerError: there no longer is.
        """
        for message in session.heard():
            self._dialect.heard(message)
            for listener in self.listeners:
                listener.heard(message)
        for listener in self.listeners:
            listener.tick(now_s)
        for topic in session.denied():
            if self._throttle.allows(f"denied {topic}"):
                logger.warning("%s does not let us hear %s: see its access rules", advice.where(self._config), topic)
        if self._dialect.ready:
            for notice in self._dialect.due(now_s):
                delivery.say(notice)
        self.say_all(delivery)
        return self._dialect.ready

    def say_all(self, delivery: Delivery) -> None:
        """Say what was added; before a goodbye, too: it may be the answer to who has asked for it."""
        while self._notices:
            delivery.say(self._notices.popleft())
