"""What Sightpost says over MQTT: the topics and the JSON payloads.

Field names and meanings are the interface that subscribers build on. Numbers that are not finite become ``null``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

from edge.model_card import Kind  # noqa: TC001  msgspec reads annotations at run time
from edge.packed import PackedArray  # noqa: TC001  likewise
from edge.record import MESSAGE_FORMAT, ClockQuality, Message, Post

CameraStatus = Literal["live", "stale", "dark", "frozen"]


@dataclass(frozen=True, slots=True)
class Topics:
    """Where each thing is said. Names of devices, watches and cameras are topic levels; labels never are."""

    prefix: str
    device: str

    @property
    def status(self) -> str:
        """The device: retained; the broker's last will says ``offline`` here."""
        return f"{self.prefix}/{self.device}/status"

    def state(self, watch: str) -> str:
        """What the watch sees now: retained."""
        return f"{self.prefix}/{self.device}/{watch}/state"

    def event(self, watch: str) -> str:
        """Every change of what the watch sees."""
        return f"{self.prefix}/{self.device}/{watch}/event"

    def embedding(self, watch: str) -> str:
        """The feature vector of every look."""
        return f"{self.prefix}/{self.device}/{watch}/embedding"

    def camera_status(self, camera: str) -> str:
        """Whether the camera delivers: retained."""
        return f"{self.prefix}/{self.device}/camera/{camera}/status"


class Score(msgspec.Struct, frozen=True):
    """One label and its score, 0…1."""

    label: str
    score: float | None


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """How far ``captured_at`` can be trusted.

    ``monotonic_s`` never jumps and compares with others of the same ``boot_id``, whatever the wall clock said.
    """

    quality: ClockQuality
    boot_id: str
    monotonic_s: float


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Which model answered."""

    name: str
    version: str


class _Answer(Message, frozen=True, kw_only=True):
    """What states and events have in common."""

    device: str
    watch: str
    camera: str
    kind: Kind
    label: str
    score: float | None
    top: tuple[Score, ...] = ()
    captured_at: str
    clock: Clock
    model: Model


# ``replayed`` is only known when a message is sent. It stands last, so that it can be set in the finished JSON.


class StateMessage(_Answer, frozen=True, kw_only=True):
    """``<watch>/state``, retained: what the watch sees now.

    Attributes:
        device, watch, camera: their names.
        kind: the model's kind of answer.
        label: the answer, or ``unknown``.
        score: of that label, 0…1.
        top: the best labels, best first.
        captured_at: when the frame was taken: ISO 8601, UTC, milliseconds.
        replayed: it was sent later than live: after an outage, a reconnection or a restart.
    """

    replayed: bool = False


class EventMessage(_Answer, frozen=True, kw_only=True):
    """``<watch>/event``: the state changed. As the state, and the label ``previous`` to it (``null`` for the first)."""

    previous: str | None
    replayed: bool = False


class EmbeddingMessage(Message, frozen=True, kw_only=True):
    """``<watch>/embedding``: the feature vector of one look, for a classifier of the subscriber's own.

    Attributes:
        embedding: its numbers; see ``docs/embeddings.md``.
        l2: whether it was brought to length 1.
        captured_at: when the frame was taken: ISO 8601, UTC, milliseconds.
        replayed: it was sent later than live.
    """

    device: str
    watch: str
    camera: str
    embedding: PackedArray
    l2: bool
    captured_at: str
    clock: Clock
    model: Model
    replayed: bool = False


class CameraStatusMessage(Message, frozen=True, kw_only=True):
    """``camera/<camera>/status``, retained: whether the camera delivers pictures worth an answer, and since when."""

    device: str
    camera: str
    status: CameraStatus
    reason: str | None = None
    since: str
    clock: Clock
    replayed: bool = False


class OutboxStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The outbox in numbers, since the store began.

    Attributes:
        waiting: answers in memory, not committed yet.
        pending: committed events that no broker has acknowledged yet, ``pending_bytes`` large, the oldest that old.
        committed: messages that were accepted, states included.
        delivered: events that a broker has acknowledged.
        refused: messages that a broker did not want; they are among the dead letters.
        dropped: messages lost, by cause: ``waiting`` (the disk did not keep up), ``full`` (``outbox.max_bytes``),
            ``old`` (``outbox.max_age_s``), ``invalid`` (not to be written as JSON).
        failure: what is wrong with the store right now, if anything is.
    """

    waiting: int
    pending: int
    pending_bytes: int
    oldest_age_s: float | None
    committed: int
    delivered: int
    refused: int
    dropped: dict[str, int]
    failure: str | None = None


class DeviceStatusMessage(msgspec.Struct, frozen=True, kw_only=True):
    """``status``, retained.

    Attributes:
        status: ``online``, or ``offline`` from the device itself (``reason`` ``stopped``) or from the broker as the
            device's last will (``reason`` ``connection lost``; ``at`` is then when the connection was made).
    """

    format: int = MESSAGE_FORMAT
    device: str
    status: Literal["online", "offline"]
    reason: str | None = None
    at: str
    clock: Clock
    version: str
    epoch: str
    outbox: OutboxStatus | None = None


def changed(topics: Topics, state: StateMessage, *, previous: str | None) -> tuple[Post, Post]:
    """Make the two posts of a watch's new answer, which belong into one ``Outbox.put``: its state and the event."""
    fields = {name: getattr(state, name) for name in _Answer.__struct_fields__}
    return (
        Post(topics.state(state.watch), state, retain=True),
        Post(topics.event(state.watch), EventMessage(**fields, previous=previous)),
    )


def utc(clock_s: float) -> str:
    """Write UTC seconds since 1970 as ``2026-11-23T14:24:00.125Z``."""
    return datetime.fromtimestamp(clock_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_replayed(payload: bytes) -> bytes:
    """Say in a finished payload that it is sent later than live; payloads that do not say are returned as they are."""
    live = b'"replayed":false}'
    return payload.removesuffix(live) + b'"replayed":true}' if payload.endswith(live) else payload
