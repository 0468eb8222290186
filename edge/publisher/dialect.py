"""How things are said to the broker: as they lie in the outbox, or in another dialect, chosen by configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from edge.messages import as_replayed
from edge.publisher.session import Notice, Will
from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.messages import DeviceStatusMessage, Topics
    from edge.publisher.session import Heard
    from edge.record import Record


class Standing(Value, frozen=True):
    """How a record stands when it is sent.

    Attributes:
        live: it is sent as soon as it was put; otherwise it is told later than it happened.
        behind: older events are still to be sent, so that what happens now is far from its turn.
    """

    live: bool
    behind: bool


class Dialect(Protocol):
    """One way of saying things. For the publisher's thread; one connection at a time."""

    @property
    def subscriptions(self) -> Sequence[str]:
        """What must be listened to."""

    @property
    def ready(self) -> bool:
        """Whether there is anybody to talk to; until then nothing is said.

        Raises:
            BrokerError: whoever is to listen has left: this connection is over.
        """

    def will(self, last: DeviceStatusMessage) -> Will:
        """Begin anew: what the broker says for us when the connection that is now made is lost."""

    def heard(self, message: Heard) -> None:
        """Take note of a message."""

    def due(self, now_s: float) -> Sequence[Notice]:
        """What must be said before all else; ``now_s`` is monotonic."""

    def status(self, status: DeviceStatusMessage) -> Notice:
        """Say how the device is."""

    def record(self, record: Record, payload: bytes, standing: Standing) -> Notice | None:
        """Say a record, whose times may have been put right in ``payload``; ``None`` where there is nothing to say.

        Raises:
            ValueError: it cannot be said.
        """


class Plain:
    """Our own: JSON, on topics that tell what it is about; see docs/mqtt.md."""

    subscriptions = ()
    ready = True

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def will(self, last: DeviceStatusMessage) -> Will:
        """Retained, so that who comes later knows as well."""
        return Will(self._topics.status, msgspec.json.encode(last))

    def heard(self, message: Heard) -> None:
        """Nothing is asked in this dialect; commands are another matter."""

    def due(self, _now_s: float) -> Sequence[Notice]:
        """Nothing needs an introduction."""
        return ()

    def status(self, status: DeviceStatusMessage) -> Notice:
        """Say it retained."""
        return Notice(self._topics.status, msgspec.json.encode(status), retain=True)

    def record(self, record: Record, payload: bytes, standing: Standing) -> Notice:
        """Say it as it is, with a mark if it is late."""
        return Notice(record.topic, payload if standing.live else as_replayed(payload), retain=record.retain)
