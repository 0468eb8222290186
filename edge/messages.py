"""What Sightpost says over MQTT: the JSON payloads; where they are said is in ``topics.py``.

Field names and meanings are the interface that subscribers build on. Numbers that are not finite become ``null``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from edge.model_card import Kind  # noqa: TC001  msgspec reads annotations at run time
from edge.packed import PackedArray  # noqa: TC001  likewise
from edge.record import MESSAGE_FORMAT, Cause, ClockQuality, Message, Post, Priority
from edge.topics import Topics as Topics  # noqa: PLC0414, TC001  whoever wants payloads wants their topics, too

if TYPE_CHECKING:
    from edge.record import Loss

CameraStatus = Literal["live", "stale", "dark", "covered", "frozen"]


SCORE_DIGITS = 4
"""Decimals of a score that is said or kept: an int8 model has no more to say."""


class Score(msgspec.Struct, frozen=True):
    """One label and its score, 0…1."""

    label: str
    score: float | None


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """How far ``captured_at`` can be trusted.

    ``monotonic_s`` never jumps and compares with others of the same ``boot_id``, whatever the wall clock said.
    ``corrected`` says that the wall clock was wrong or doubtful at that time, and that the message's times were put
    right from ``monotonic_s`` before it was sent, once the clock was synchronized.
    """

    quality: ClockQuality
    boot_id: str
    monotonic_s: float
    corrected: bool = False


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
    reason: str | None = None
    score: float | None
    top: tuple[Score, ...] = ()
    count: int = 1
    total_s: float = 0.0
    captured_at: str
    clock: Clock
    model: Model


# ``replayed`` is only known when a message is sent. It stands last, so that it can be set in the finished JSON.


class StateMessage(_Answer, frozen=True, kw_only=True):
    """``<watch>/state``, retained: what the watch sees now.

    Attributes:
        device, watch, camera: their names.
        kind: the model's kind of answer.
        label: the answer, or ``unknown``, or ``stale`` where there is none that could be trusted.
        reason: why it is ``unknown`` or ``stale``.
        score: of that label, 0…1, after smoothing; ``null`` where it is ``stale``.
        top: the best labels, best first.
        count: how often this state was entered since the start, this time included.
        total_s: how long it had lasted altogether, this time not included.
        captured_at: when the frame was taken: ISO 8601, UTC, milliseconds; without a frame, when it became ``stale``.
        replayed: it was sent later than live: after an outage, a reconnection or a restart.
    """

    replayed: bool = False


class EventMessage(_Answer, frozen=True, kw_only=True):
    """``<watch>/event``: the state changed. As the state, and what was before.

    Attributes:
        previous: the label before; ``null`` for the first.
        dwell_s: for how long it had been the state.
    """

    previous: str | None
    dwell_s: float = 0.0
    replayed: bool = False


class AnswerMessage(Message, frozen=True, kw_only=True):
    """``<watch>/answer``: what one look gave, whether or not it changed anything; where the watch says ``answers``.

    Attributes:
        label: the answer of this look, after smoothing and before it has held.
        score: of that label, 0…1.
        top: the best labels, best first.
        state: what the watch's state is after it; ``null`` while the first one has yet to hold.
    """

    device: str
    watch: str
    camera: str
    kind: Kind
    label: str
    score: float | None
    top: tuple[Score, ...] = ()
    state: str | None
    captured_at: str
    clock: Clock
    model: Model
    replayed: bool = False


class WatchStatusMessage(Message, frozen=True, kw_only=True):
    """``<watch>/status``, retained, once a minute: how the watch itself is. Numbers count since the start.

    Attributes:
        resting: why it does not look now: ``paused``, ``outside its schedule``, ``it looks on command only``.
        interval_s: between two looks; 0 is at every frame.
        looks: answers of the model, of which so many were ``unknown``.
        still: looks that were saved because nothing had moved.
        missed: looks that were due and not taken because the device was busy.
        untrusted: frames that were worth nothing.
        pictures_lost: pictures that were overtaken by a newer one before they were made, or too large.
        drift: how many looks, 0…1, are less sure or less like training than they would have been there; ``null`` where
            nothing can be said.
        samples: pictures that were kept for the next training.
        samples_lost: pictures that were to be kept, and the disk was too slow or did not take them.
        at: when it was said.
    """

    device: str
    watch: str
    resting: str | None = None
    interval_s: float
    looks: int
    unknown: int
    still: int
    missed: int
    untrusted: int
    pictures_lost: int
    drift: float | None = None
    samples: int = 0
    samples_lost: int = 0
    at: str
    clock: Clock
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
    """``camera/<camera>/status``, retained: whether the camera delivers pictures worth an answer, and since when.

    It is said when that changes, and once a minute with new numbers. These count from the start of the program.

    Attributes:
        status: ``live``; or why its pictures are worth no answer: ``stale`` (none come), ``dark``, ``covered`` (nothing
            to be seen but one colour or a blur), ``frozen`` (nothing but pictures that were seen before).
        reason: in words; ``null`` while it is live.
        rate_hz: frames that come each second, as measured.
        width_px: of the pictures; 0 before the first.
        height_px: likewise.
        grabbed: frames that came.
        delivered: those that were looked at.
        skipped: those that nobody had asked for.
        damaged: those that could not be decoded.
        restarts: how often the connection was made anew.
        notes: what the camera does not do as configured, a line each.
    """

    device: str
    camera: str
    status: CameraStatus
    reason: str | None = None
    since: str
    rate_hz: float = 0.0
    width_px: int = 0
    height_px: int = 0
    grabbed: int = 0
    delivered: int = 0
    skipped: int = 0
    damaged: int = 0
    restarts: int = 0
    notes: tuple[str, ...] = ()
    clock: Clock
    replayed: bool = False


class GapMessage(Message, frozen=True, kw_only=True):
    """``gap``: messages that were lost and will never come.

    Attributes:
        cause: ``waiting`` (the disk did not keep up), ``full`` (``outbox.max_bytes``), ``old`` (``outbox.max_age_s``),
            ``invalid`` (not to be written as JSON), ``purged`` (a person removed them), ``damaged`` (the store was
            beyond use; a fresh one, of the ``epoch`` said here, began).
        count: how many; ``null`` where nobody can know.
        watches: whose they were, as far as known.
        since: when the first of them was said; ``null`` where unknown.
        until: likewise the last.
    """

    device: str
    cause: Cause
    count: int | None
    watches: tuple[str, ...]
    since: str | None
    until: str
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
            ``old`` (``outbox.max_age_s``), ``invalid`` (not to be written as JSON), ``purged`` (a person removed them).
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
        config_error: why the configuration that was last to be taken over was not, if so.
    """

    format: int = MESSAGE_FORMAT
    device: str
    status: Literal["online", "offline"]
    reason: str | None = None
    at: str
    clock: Clock
    version: str
    epoch: str
    config_error: str | None = None
    outbox: OutboxStatus | None = None


class ReplyMessage(msgspec.Struct, frozen=True, kw_only=True):
    """``cmd/response``: what came of a command.

    Attributes:
        command, watch: what was asked; ``watch`` is ``null`` where it concerns the whole device.
        id: that of the command, if it had one.
        ok: whether it was done; if not, ``error`` says why.
        result: what came of it; which fields there are depends on the command.
    """

    format: int = MESSAGE_FORMAT
    device: str
    command: str
    watch: str | None
    id: str | None
    ok: bool
    error: str | None
    result: dict[str, str | float | bool | int | None] | None
    at: str


def changed(topics: Topics, state: StateMessage, *, previous: str | None, dwell_s: float = 0.0) -> tuple[Post, Post]:
    """Make the two posts of a watch's new answer, which belong into one ``Outbox.put``: its state and the event."""
    fields = {name: getattr(state, name) for name in _Answer.__struct_fields__}
    return (
        Post(topics.state(state.watch), state, retain=True),
        Post(topics.event(state.watch), EventMessage(**fields, previous=previous, dwell_s=dwell_s)),
    )


def gap(topics: Topics, loss: Loss, clock: Clock) -> Post:
    """Make the post that tells of a loss; it is never dropped itself."""
    levels = [topic.removeprefix(f"{topics.prefix}/{topics.device}/").split("/") for topic in loss.topics]
    message = GapMessage(
        device=topics.device,
        cause=loss.cause,
        count=loss.count,
        watches=tuple(sorted({watch for watch, *kind in levels if len(kind) == 1})),
        since=None if loss.since_s is None else utc(loss.since_s),
        until=utc(loss.until_s),
        clock=clock,
    )
    return Post(topics.gap, message, priority=Priority.KEPT)


def utc(clock_s: float) -> str:
    """Write UTC seconds since 1970 as ``2026-11-23T14:24:00.125Z``."""
    return datetime.fromtimestamp(clock_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_doubtful(payload: bytes) -> bool:
    """Whether a finished payload says that its clock was not synchronized."""
    return b'"quality":"un' in payload  # unsynchronized, unknown


def as_corrected(payload: bytes, *, boot: str, behind_s: float) -> bytes:
    """Put the times of a finished payload right, by how far this boot's clock was behind when it was made.

    Payloads of other boots are returned as they are; so are gaps, whose times may be of several.

    Raises:
        ValueError: it is damaged.
    """
    try:
        fields = msgspec.json.decode(payload)
        clock = fields.get("clock")
        if not boot or clock is None or clock["boot_id"] != boot or "cause" in fields:
            return payload
        for name in ("captured_at", "since", "at"):
            if name in fields:
                fields[name] = utc(datetime.fromisoformat(fields[name]).timestamp() + behind_s)
        clock["corrected"] = True
        return msgspec.json.encode(fields)
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise ValueError(f"damaged: {error!r}") from error


def is_picture(topic: str) -> bool:
    """Whether what is said there is a picture, and goes last."""
    return topic.endswith("/image")


def as_replayed(payload: bytes) -> bytes:
    """Say in a finished payload that it is sent later than live; payloads that do not say are returned as they are."""
    live = b'"replayed":false}'
    return payload.removesuffix(live) + b'"replayed":true}' if payload.endswith(live) else payload
