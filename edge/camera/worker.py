"""The decoding process: grabs frames, and converts those that were asked for straight into shared memory."""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from edge.camera.protocol import (
    PACKET_BYTES,
    Delivered,
    Ended,
    Failed,
    FromDecoder,
    Opened,
    Pulse,
    Sight,
    Want,
    decode_from_reader,
    encode,
)
from edge.camera.ring import Ring
from edge.camera.source import Grab
from edge.errors import CameraError, UnsupportedSourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.camera.source import Source
    from edge.config import CameraConfig
    from edge.frame import Image

PULSE_S = 1.0


class ReaderGoneError(Exception):
    """The daemon has closed its end or died: this process has no more purpose."""


def serve(config: CameraConfig, channel: socket.socket) -> None:
    """The life of a decoding process: open the source, deliver its frames, and say why it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon; this process ends with it
    _silence_libraries()
    from edge.camera.sources import open_source

    reader = Reader(channel)
    opened = False
    try:
        source = open_source(config)
        opened = True
        Decoding(source, reader, recorded=config.is_recording).run()
    except ReaderGoneError:
        return
    except Exception as error:  # noqa: BLE001  whatever a codec does must reach the operator, not die with this process
        _say_farewell(reader, last_word(error, config, opened=opened))


def last_word(error: Exception, config: CameraConfig, *, opened: bool) -> Failed:
    """Why a decoding process ends, and whether another one cannot do better."""
    reason = str(error)
    fatal = config.is_recording and not config.is_replaceable
    if isinstance(error, CameraError):
        fatal = isinstance(error, UnsupportedSourceError) or fatal or not (opened or config.is_replaceable)
    else:
        reason = f"the decoder failed: {type(error).__name__}: {' '.join(reason.split())}"
    # A file's name need not be UTF-8, and no message may be larger than a packet.
    return Failed(reason[: PACKET_BYTES // 4].encode("utf-8", "replace").decode(), fatal)


class Reader:
    """The daemon, as seen from here: it says which slots it wants filled, and is told what happens.

    A thread listens, so that this process ends with the daemon even when OpenCV hangs.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._wanted: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="reader", daemon=True).start()

    def wanted(self, *, wait_s: float) -> int | None:
        """The next slot to fill; None when nothing is asked for in time."""
        try:
            return self._wanted.get(timeout=wait_s) if wait_s else self._wanted.get_nowait()
        except queue.Empty:
            return None

    def done(self) -> Iterator[int]:
        """Frames that the reader has done with since it was last asked."""
        with suppress(queue.Empty):
            while True:
                yield self._done.get_nowait()

    def still_wants(self, slot: int) -> None:
        """Put back a slot that could not be filled."""
        self._wanted.put(slot)

    def tell(self, message: FromDecoder, descriptor: int | None = None) -> None:
        """Send a message.

        Raises:
            ReaderGoneError: nobody is there.
        """
        try:
            if descriptor is None:
                self._channel.send(encode(message))
            else:
                socket.send_fds(self._channel, [encode(message)], [descriptor])
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ReaderGoneError from error

    def _listen(self) -> None:
        try:
            while packet := self._channel.recv(PACKET_BYTES):
                message = decode_from_reader(packet)
                if isinstance(message, Want):
                    self._wanted.put(message.slot)
                else:
                    self._done.put(message.number)
        finally:  # also when the connection was reset
            os._exit(0)


class Decoding:
    """One source, from its first frame to its last.

    Args:
        source: just opened.
        reader: gets the frames.
        recorded: every frame is delivered and waits to be asked for; otherwise frames come when they are due, and those
            that nobody has asked for by then are skipped.
    """

    def __init__(self, source: Source, reader: Reader, *, recorded: bool) -> None:
        self._source = source
        self._reader = reader
        self._recorded = recorded
        self._ring: Ring | None = None
        self._grabbed = 0
        self._skipped = 0
        self._unreadable = 0
        self._began_s = 0.0
        self._pulsed_at_s = time.monotonic()
        self._pulsed_grabbed = 0
        self._sight: Sight | None = None

    def run(self) -> None:
        """Deliver until the recording ends.

        Raises:
            CameraError: the source stopped delivering, or never gave a frame.
            ReaderGoneError: nobody is there.
        """
        while (grab := self._source.grab()) is not Grab.END:
            for number in self._reader.done():
                self._source.settle(number)
            if grab is Grab.NOTHING:
                self._pulse_if_due()
                continue
            self._grabbed += 1
            if self._ring is not None or self._open_ring():
                self._deliver_when_due()
            self._pulse_if_due()
        self._pulse()
        if self._ring is None:
            raise CameraError(f"there is no frame that can be read ({self._damaged} damaged)")
        self._reader.tell(Ended())

    def _deliver_when_due(self) -> None:
        if not self._source.live and not self._recorded:
            self._wait_until_due()
        captured_at_s, clock_s = time.time(), time.monotonic()
        if self._recorded and not self._source.live:
            clock_s = self._source.position_s
        slot = self._wanted_slot()
        if slot is None:
            self._skipped += 1
            if self._is_sight_due():
                self._see(self._retrieve(None))
        elif (image := self._filled(slot)) is not None:
            self._reader.tell(Delivered(slot, self._grabbed - 1, captured_at_s, clock_s))
            if self._is_sight_due():
                self._see(image)  # it stays as it is until this loop fills it anew
        else:
            self._reader.still_wants(slot)

    @property
    def _damaged(self) -> int:
        return self._unreadable + self._source.damaged

    def _open_ring(self) -> bool:
        """Look at a frame for its size: only a frame proves that a source is open."""
        image = self._retrieve(None)
        if image is not None:
            self._make_ring(image)
            self._began_s = time.monotonic() - self._source.position_s
        return image is not None

    def _make_ring(self, image: Image) -> Ring:
        height_px, width_px = image.shape[:2]
        self._ring, descriptor = Ring.create(width_px, height_px)
        self._reader.tell(Opened(width_px, height_px, self._source.rate_hz, self._source.notes), descriptor)
        os.close(descriptor)
        return self._ring

    def _wait_until_due(self) -> None:
        while (early_s := self._began_s + self._source.position_s - time.monotonic()) > 0:
            time.sleep(min(early_s, PULSE_S))
            self._pulse_if_due()

    def _wanted_slot(self) -> int | None:
        if not self._recorded:
            return self._reader.wanted(wait_s=0)
        while (slot := self._reader.wanted(wait_s=PULSE_S)) is None:
            self._pulse_if_due()
        return slot

    def _filled(self, slot: int) -> Image | None:
        """The slot, with the grabbed frame in it; None when that cannot be decoded."""
        target = self._ring.image(slot) if self._ring is not None else None
        image = self._retrieve(target)
        if image is None:
            return None
        if target is None or image.shape != target.shape:
            target = self._make_ring(image).image(slot)
        if image is not target:  # video was converted in place; a picture, or the first frame of a new size, was not
            np.copyto(target, image)
        return target

    def _retrieve(self, out: Image | None) -> Image | None:
        image = self._source.retrieve(out)
        if image is None:
            self._unreadable += 1
        return image

    def _is_sight_due(self) -> bool:
        """One frame a second is looked at whether or not anybody asked; a recording read fast has no condition."""
        return not self._recorded and self._sight is None

    def _see(self, image: Image | None) -> None:
        if image is not None:
            from edge.camera.sight import sight_of

            self._sight = sight_of(image, repeats=self._source.repeats)

    def _pulse_if_due(self) -> None:
        if time.monotonic() - self._pulsed_at_s >= PULSE_S:
            self._pulse()

    def _pulse(self) -> None:
        now_s = time.monotonic()
        rate_hz = (self._grabbed - self._pulsed_grabbed) / max(now_s - self._pulsed_at_s, 1e-3)
        self._reader.tell(Pulse(self._grabbed, self._skipped, self._damaged, rate_hz, self._sight))
        self._sight = None
        self._pulsed_at_s, self._pulsed_grabbed = now_s, self._grabbed
        _give_memory_back()


def _silence_libraries() -> None:
    """Codecs write to stderr as they like, for each damaged block; what an operator needs is said in ``Failed``."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _give_memory_back() -> None:
    """Opening and measuring need memory for a moment, and glibc keeps it unless it is asked: 3 to 8 MB of a camera."""
    with suppress(OSError, AttributeError):  # other C libraries have no such call
        ctypes.CDLL(None).malloc_trim(0)


def _say_farewell(reader: Reader, message: Failed) -> None:
    try:
        reader.tell(message)
    except ReaderGoneError:
        return
