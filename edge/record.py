"""What the outbox keeps and the publisher sends: ids, the message that is to be kept, the record that is kept."""

from __future__ import annotations

import enum
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from edge.value import Value

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Iterable

MESSAGE_FORMAT = 1
"""Version of the payloads' layout; raised when a subscriber of the old one would misread the new one."""

ClockQuality = Literal["synchronized", "unsynchronized", "unknown"]

# MQTT 5, 1.5.4 and 4.7: a topic to publish on has no wildcards; NUL and control characters make brokers hang up.
_TOPIC = re.compile("[^+#\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,1024}")


def is_topic(text: str) -> bool:
    """Whether one can publish on it."""
    return _TOPIC.fullmatch(text) is not None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A payload that the outbox completes when it commits it.

    Attributes:
        format: version of the layout.
        id: unique for ever and time-ordered (UUIDv7); a message that arrives twice has the same id twice.
        epoch: names the store that counted ``sequence``; a new one means that the device lost its store.
        sequence: counts the messages of one topic from 1 without gaps, in one epoch.
    """

    format: int = MESSAGE_FORMAT
    id: str = ""
    epoch: str = ""
    sequence: int = 0


class Priority(enum.IntEnum):
    """Who goes first when the outbox is full: the expendable, then the oldest. What says so itself never goes."""

    EXPENDABLE = 0
    NORMAL = 1
    KEPT = 2


class Post(Value, frozen=True):
    """Something to say on a topic.

    Attributes:
        topic: the MQTT topic, complete.
        message: the payload; ``bytes`` are sent as they are and carry no identity of their own.
        retain: this is what the topic *is* now: the newest one is kept for ever and supersedes the one before.
            Otherwise it is something that happened, and each one is delivered.
        priority: only of interest to posts that are not retained.
    """

    topic: str
    message: Message | bytes
    retain: bool = False
    priority: Priority = Priority.NORMAL

    def __post_init__(self) -> None:
        if not is_topic(self.topic):
            raise ValueError(
                f"{self.topic[:80]!r} is no topic to publish on: empty, too long, or with + # or control characters"
            )


class Stamp(Value, frozen=True):
    """When something was handed to the outbox: UTC seconds since 1970, and this boot's monotonic seconds."""

    clock_s: float
    monotonic_s: float


class Draft(Value, frozen=True):
    """Posts that are committed together or not at all, with the ids that they will have however often that is tried."""

    posts: tuple[Post, ...]
    ids: tuple[str, ...]
    stamp: Stamp


Cause = Literal["waiting", "full", "old", "invalid", "purged", "damaged"]
"""Why messages were lost; see ``messages.GapMessage``."""


class Loss(Value, frozen=True):
    """Messages that no subscriber will ever see.

    Attributes:
        cause: why.
        count: how many; ``None`` where nobody can know.
        since_s: when the first of them was handed to the outbox, UTC seconds since 1970; ``None`` where unknown.
        until_s: likewise the last of them.
        topics: where they would have been said, as far as known.
    """

    cause: Cause
    count: int | None
    since_s: float | None
    until_s: float
    topics: frozenset[str] = frozenset()

    def __add__(self, other: Loss) -> Loss:
        """Both as one, of the first one's cause."""
        known = self.since_s is not None and other.since_s is not None
        return Loss(
            self.cause,
            None if self.count is None or other.count is None else self.count + other.count,
            min(self.since_s or 0.0, other.since_s or 0.0) if known else None,
            max(self.until_s, other.until_s),
            self.topics | other.topics,
        )

    @classmethod
    def of(cls, cause: Cause, drafts: Iterable[Draft]) -> Loss:
        """What is lost with some drafts, of which there is at least one."""
        lost = list(drafts)
        times_s = [draft.stamp.clock_s for draft in lost]
        topics = frozenset(post.topic for draft in lost for post in draft.posts)
        return cls(cause, sum(len(draft.posts) for draft in lost), min(times_s), max(times_s), topics)


class Record(Value, frozen=True):
    """A committed post.

    Attributes:
        number: place in the queue; 0 for a retained one, which has its topic as its place.
        id: as in the payload.
        epoch: the store that it came from, where ``number`` means something.
        stamp: when it was handed to the outbox; its monotonic time means nothing when ``earlier``.
        earlier: it was handed to an earlier run of this program.
    """

    number: int
    id: str
    topic: str
    payload: bytes
    retain: bool
    epoch: str
    stamp: Stamp
    earlier: bool
    priority: Priority = Priority.NORMAL


def uuid7(clock_s: float, random_bytes: Callable[[int], bytes]) -> str:
    """Make a time-ordered id (RFC 9562, version 7; the bits after the milliseconds count 1/4096 ms, its method 3)."""
    milliseconds, fraction = divmod(int(clock_s * 4_096_000), 4096)
    tail = int.from_bytes(random_bytes(8)) >> 2
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | tail
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def boot_id(path: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """Name this boot of the computer; monotonic times can be compared only within one. Empty where unknown."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def clock_quality(flag: Path = Path("/run/systemd/timesync/synchronized")) -> ClockQuality:
    """Say whether the wall clock is kept right by a time server, as adjtimex(2) or else systemd-timesyncd knows it."""
    status = _adjtimex()
    if status < 0:  # a sandbox (systemd ProtectClock=) denies the call
        if flag.parent.is_dir():
            return "synchronized" if flag.exists() else "unsynchronized"
        return "unknown"
    time_error = 5  # TIME_ERROR of <sys/timex.h>
    return "unsynchronized" if status == time_error else "synchronized"


def _adjtimex() -> int:
    """What adjtimex(2) says of the clock; -1 where it does not."""
    import ctypes

    try:
        # modes = 0 in the first field only reads; the struct timex of any platform is smaller than this.
        return int(_c_library().adjtimex(ctypes.create_string_buffer(512)))
    except (AttributeError, OSError):  # no such call in this C library
        return -1


@functools.cache
def _c_library() -> ctypes.CDLL:
    """Looked for once: a message for every frame asks how good the clock is."""
    import ctypes

    return ctypes.CDLL(None)
