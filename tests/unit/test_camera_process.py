"""The last words of a decoding process are heard, whatever it had not heard itself."""

from __future__ import annotations

import socket

import msgspec
import pytest

from edge.camera.process import DecodingProcess
from edge.camera.protocol import PACKET_BYTES, Failed, encode
from edge.camera.worker import last_word
from edge.config import CameraConfig
from edge.errors import CameraError, UnsupportedSourceError


def test_last_words_are_heard_although_a_request_was_never_read() -> None:
    decoder = DecodingProcess.__new__(DecodingProcess)  # without a process: only the connection matters
    decoder.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    decoder.channel.settimeout(0)
    decoder.want(0)
    theirs.send(encode(Failed("it is no video", fatal=True)))
    theirs.close()
    messages = decoder.messages()
    assert next(messages) == (Failed("it is no video", fatal=True), None)
    with pytest.raises(EOFError):
        next(messages)
    decoder.channel.close()


def test_asking_a_process_that_is_gone_is_no_error() -> None:
    decoder = DecodingProcess.__new__(DecodingProcess)
    decoder.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    decoder.want(1)
    decoder.channel.close()


@pytest.mark.parametrize(
    ("source", "settings", "error", "opened", "fatal"),
    [
        ("in", {"hot": "move"}, MemoryError(), True, False),
        ("in", {"hot": "move"}, CameraError("the folder has gone"), True, False),
        ("a.mp4", {"pace": "fast"}, MemoryError(), True, True),
        ("a.mp4", {"pace": "fast"}, CameraError("cannot read the video"), True, True),
        ("a.mp4", {}, CameraError("cannot read the video"), False, True),
        ("a.mp4", {"loop": True}, CameraError("cannot read the video"), True, False),
        ("rtsp://cam/", {}, CameraError("no answer"), False, False),
        ("rtsp://cam/", {}, ValueError(), False, False),
        ("gst:a ! appsink", {}, UnsupportedSourceError("no GStreamer"), False, True),
    ],
)
def test_only_what_cannot_heal_is_given_up(
    source: str, settings: dict[str, object], error: Exception, *, opened: bool, fatal: bool
) -> None:
    config = CameraConfig(source=source, **settings)  # type: ignore[arg-type]
    assert last_word(error, config, opened=opened).fatal == fatal


@pytest.mark.parametrize("error", [CameraError("\udcfc" * 9000), ValueError("\U0001f4f7 " * 9000)])
def test_a_last_word_fits_into_a_packet_whatever_is_in_it(error: Exception) -> None:
    packet = encode(last_word(error, CameraConfig(source="in", hot="leave"), opened=True))
    assert len(packet) <= PACKET_BYTES
    assert msgspec.msgpack.decode(packet, type=Failed).message
