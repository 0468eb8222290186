"""The daemon's handle on one decoding process."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import msgspec

from edge.camera.protocol import PACKET_BYTES, Done, FromDecoder, Want, decode_from_decoder, encode
from edge.zygote import zygote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.config import CameraConfig

_LAST_WORDS_S = 1.0
"""How long a killed process may take to go."""


class DecodingProcess:
    """One decoding process and the connection to it. Making one has it started.

    Args:
        name: of its camera, for whoever looks at a list of processes.
        config: its camera.

    Attributes:
        channel: becomes readable when there is a message, and when the process has died.
    """

    def __init__(self, name: str, config: CameraConfig) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.setblocking(False)  # noqa: FBT003  the standard library wants it so
        with theirs:
            self._process = zygote().fork(msgspec.msgpack.encode((name, config)), theirs)

    @property
    def pid(self) -> int | None:
        """The process's number; waits until it has one."""
        return self._process.pid

    def want(self, slot: int) -> None:
        """Ask for the next frame in a slot."""
        self._tell(Want(slot))

    def done(self, number: int) -> None:
        """Say that the reader has done with a frame of this process."""
        self._tell(Done(number))

    def _tell(self, message: Want | Done) -> None:
        """A process that has just died is told nothing; ``messages`` will tell that it has."""
        try:
            self.channel.send(encode(message))
        except (BrokenPipeError, ConnectionResetError):
            return

    def messages(self) -> Iterator[tuple[FromDecoder, int | None]]:
        """All messages that have arrived, each with the descriptor sent along, which the caller closes.

        Raises:
            EOFError: there will be no more: the process has ended or died.
            msgspec.DecodeError: the process is not in its right mind.
        """
        while True:
            try:
                packet, descriptors, _, _ = socket.recv_fds(self.channel, PACKET_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except ConnectionResetError:
                # It ended before it had read all that we asked for. The kernel says so first, and once; what it said
                # itself, above all why it ended, is still to be read.
                continue
            if not packet:
                raise EOFError
            yield decode_from_decoder(packet), descriptors[0] if descriptors else None

    def obituary(self) -> str:
        """How a process that has closed its connection ended."""
        end = self._process.end(_LAST_WORDS_S)
        return "the decoder closed its connection and hangs" if end is None else f"the decoder died ({end})"

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.channel.close()
        self._process.kill(_LAST_WORDS_S)
