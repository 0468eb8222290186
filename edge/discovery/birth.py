"""Home Assistant says when it has started; then it is told again what there is, should the broker have forgotten."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edge.discovery.announcing import is_description, with_gone
from edge.publisher.session import Notice
from edge.record import Post

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edge.messages import Topics
    from edge.publisher.session import Heard
    from edge.record import Record

_PAUSE_S = 10.0
"""It is not told more often than this, however often it is heard."""


class Birth:
    """Listens for Home Assistant's birth message.

    Args:
        prefix: Home Assistant's discovery prefix.
        topics: where this device speaks.
        said: everything retained that was said so far.
        put: takes posts to be said.
        say: takes what is to be said before them and not kept.
    """

    def __init__(
        self,
        prefix: str,
        topics: Topics,
        said: Callable[[], Iterable[Record]],
        put: Callable[..., None],
        say: Callable[[Notice], None],
    ) -> None:
        self.subscriptions = (f"{prefix}/status",)
        self._topics = topics
        self._said = said
        self._put = put
        self._say = say
        self._is_new = False
        self._not_before_s = -math.inf

    def heard(self, message: Heard) -> None:
        """Take note that it has started; a retained message tells of an earlier time."""
        if message.topic in self.subscriptions and message.payload == b"online" and not message.retained:
            self._is_new = True

    def tick(self, now_s: float) -> None:
        """Say it again."""
        if not self._is_new or now_s < self._not_before_s:
            return
        self._is_new = False
        self._not_before_s = now_s + _PAUSE_S
        for record in self._said():
            if not (is_description(record.topic) and record.payload):
                continue
            if (payload := with_gone(record.payload, self._topics)) is not None:
                self._say(Notice(record.topic, payload))
            self._put(Post(record.topic, record.payload, retain=True))
