"""Messages that a broker does not take: found out over several connections, if it only hangs up on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.record import Record

HANG_UPS = 3
"""So many lost connections in a row with one message as the oldest unacknowledged: the broker hangs up on it."""
_INNOCENT_ENDS = frozenset({137, 139, 141, 142, 152, 156, 157})
"""MQTT 5, 2.4: busy, shutting down, keep-alive timeout, taken over, administrative, moved: no message's fault."""

_DENIED_S = 600.0


class Misfits:
    """What one broker did not take since the program started. For one thread.

    A broker of MQTT 3.1.1 has no other word for a message that is too large or malformed than to hang up. Whoever
    sends it again after every connection gets nowhere for ever. After a hang-up, messages are therefore sent one by
    one, until a window full of them has been acknowledged; then a hang-up has one cause.

    Attributes:
        repeated: ids of what was acknowledged shortly before the last end of a connection, and is sent again to be
            sure; once more is enough.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self.repeated: set[str] = set()
        self._careful = 0
        self._suspect = ""
        self._hang_ups = 0
        self._guilty: dict[str, str] = {}
        self._buried: dict[str, str] = {}
        self._denied_s: dict[str, float] = {}

    @property
    def alone(self) -> bool:
        """Whether to send one message at a time."""
        return self._careful > 0

    def acknowledged(self, record: Record) -> None:
        """Note that the broker took a message, or refused it in words."""
        self._careful = max(0, self._careful - 1)
        if record.id == self._suspect:
            self._suspect, self._hang_ups = "", 0

    def hung_up(self, oldest: Record, *, listening: bool, code: int | None) -> bool:
        """Note that the broker hung up with ``oldest`` unacknowledged; returns whether that was once too often.

        Args:
            oldest: of the messages under way the one that was sent first.
            listening: it had acknowledged something on the same connection, so that it is well.
            code: why, if it said so.
        """
        if code in _INNOCENT_ENDS:
            return False
        if not listening and self.alone:
            return False
        self._careful = self._window
        if oldest.id in self.repeated:  # it has taken this before
            return False
        if oldest.id != self._suspect:
            self._suspect, self._hang_ups = oldest.id, 0
        self._hang_ups += 1
        if self._hang_ups < HANG_UPS:
            return False
        self._suspect, self._hang_ups = "", 0
        return True

    def convict(self, record: Record) -> None:
        """Note that the broker will not have this message."""
        if record.retain:
            self._guilty[record.topic] = record.id

    def deny(self, topic: str, now_s: float) -> None:
        """Note that the broker refused something that is not from the outbox; ``now_s`` in monotonic seconds."""
        self._denied_s[topic] = now_s

    def is_denied(self, topic: str, now_s: float) -> bool:
        """Whether saying something there is not worth a try; somebody may change the broker's rules meanwhile."""
        return now_s - self._denied_s.get(topic, float("-inf")) < _DENIED_S

    def is_guilty(self, record: Record) -> bool:
        """Whether this was refused and must not be sent again, as states are after every connection."""
        return self._guilty.get(record.topic) == record.id

    def is_new(self, record: Record) -> bool:
        """Whether this refused message is not among the dead letters yet; a state may be refused again and again."""
        if not record.retain:
            return True
        known = self._buried.get(record.topic)
        self._buried[record.topic] = record.id
        return known != record.id
