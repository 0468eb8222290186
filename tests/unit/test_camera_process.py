"""The last words of a decoding process are heard, whatever it had not heard itself."""

from __future__ import annotations

import socket

import pytest

from edge.camera.process import DecodingProcess
from edge.camera.protocol import Failed, encode


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
