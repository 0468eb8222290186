"""What a camera's process and the daemon say to each other: one MessagePack packet each over a ``SOCK_SEQPACKET`` pair.

Packets arrive whole or not at all, so neither side ever waits for the rest of one, whatever state the other is in.
"""

from __future__ import annotations

import msgspec


class Want(msgspec.Struct, frozen=True, tag=True):
    """Reader → decoder: this slot is yours; put the next frame there."""

    slot: int


class Done(msgspec.Struct, frozen=True, tag=True):
    """Reader → decoder: it has done with frame ``number`` of this decoder. Only said where somebody wants to know."""

    number: int


class Opened(msgspec.Struct, frozen=True, tag=True):
    """Decoder → reader, with a descriptor: pictures now lie in this memory. The first says that the source works.

    The notes are what an operator should know about how the source was opened.
    """

    width_px: int
    height_px: int
    rate_hz: float
    notes: tuple[str, ...] = ()


class Delivered(msgspec.Struct, frozen=True, tag=True):
    """Decoder → reader: the slot holds this frame (times as in ``Frame``)."""

    slot: int
    number: int
    captured_at_s: float
    clock_s: float


class Sight(msgspec.Struct, frozen=True):
    """What was measured on one frame.

    Attributes:
        brightest: grey level, 0…255, that a hundredth of the picture is above.
        clarity: by how much spots differ from around them, where the picture has most of that, as a part of how much
            the whole picture varies: a blurred picture varies, too, but slowly.
        fingerprint: equal for equal frames; None where a repeated picture says nothing.
    """

    brightest: float
    clarity: float
    fingerprint: int | None


class Pulse(msgspec.Struct, frozen=True, tag=True):
    """Decoder → reader, every second: totals since it started; one that is lost does not matter.

    ``skipped`` frames were grabbed when nobody had asked; ``damaged`` ones could not be decoded. The rate is that since
    the pulse before. ``sight`` is of a frame since then, if there was one that could be decoded.
    """

    grabbed: int = 0
    skipped: int = 0
    damaged: int = 0
    rate_hz: float = 0.0
    sight: Sight | None = None


class Ended(msgspec.Struct, frozen=True, tag=True):
    """Decoder → reader: the recording is over; every frame of it has been delivered."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Decoder → reader, its last word: why it gives up; ``fatal`` when another try cannot help."""

    message: str
    fatal: bool


FromDecoder = Opened | Delivered | Pulse | Ended | Failed

PACKET_BYTES = 4096
"""More than any message: a ``Failed`` is cut to a quarter of it."""

encode = msgspec.msgpack.Encoder().encode
decode_from_decoder = msgspec.msgpack.Decoder(FromDecoder).decode
decode_from_reader = msgspec.msgpack.Decoder(Want | Done).decode
