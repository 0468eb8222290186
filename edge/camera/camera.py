"""A camera as the daemon sees it: frames when asked for, and a status. What breaks behind it is mended here."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Self

import msgspec

from edge.camera.judgement import Judgement
from edge.camera.process import DecodingProcess
from edge.camera.protocol import Delivered, Ended, Failed, FromDecoder, Opened, Pulse
from edge.camera.ring import Ring, SlotLedger
from edge.camera.supervision import STALE_PERIODS, Backoff, CameraStatus, Silence, State, state_of_live
from edge.errors import CameraError
from edge.frame import Frame

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from edge.config import CameraConfig


class Camera:
    """One camera, decoded in a process of its own. All methods are for one thread.

    The thread asks for frames with ``request``, waits for ``connection`` to become readable, takes what has come with
    ``receive``, gives each frame back with ``release``, and calls ``tick`` about once a second.

    Args:
        name: for messages.
        config: which source, and its timeouts. A source that names nothing possible raises ``CameraError``.
        clock: monotonic seconds; ``tick`` must be given the same.
        rng: for the jitter of retries.
    """

    def __init__(
        self,
        name: str,
        config: CameraConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self._config = config
        self._clock = clock
        self._recorded = config.is_recording
        self._fatal = config.is_recording and not config.is_replaceable  # a recording is not begun again
        self._backoff = Backoff(rng or random.Random())  # noqa: S311  jitter is no secret
        self._ledger = SlotLedger()
        self._ring: Ring | None = None
        self._decoder: DecodingProcess | None = None
        self._silence = Silence(config, 0.0)
        self._judgement = Judgement(config.frozen_after_s)
        self._notes: tuple[str, ...] = ()
        self._retry_at_s = 0.0
        self._final: State | None = None
        self._since_s = clock()
        self._frame_at_s: float | None = None
        self._past = Pulse()  # totals of the decoders that were replaced
        self._pulse = Pulse()  # of the present one
        self._rate_hz = 0.0
        self._delivered = 0
        self._restarts = 0
        self._last_error: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Have a decoding process started; whether that and the source can be opened shows later, in ``status``.

        The first camera of a program takes half a second longer, unless ``warm_up`` was called in time.
        """
        self._since_s = self._clock()
        self._launch(self._since_s)

    def request(self, ahead: int = 1) -> None:
        """See that ``ahead`` frames are on order; fewer when so many are held that slots run out.

        A live camera delivers the next frames that it grabs, a recording the next ones in order. What is on order stays
        on order when the decoder is replaced.
        """
        while len(self._ledger.wanted) < ahead and (slot := self._ledger.want()) is not None:
            if self._decoder is not None:
                self._decoder.want(slot)

    @property
    def connection(self) -> socket.socket | None:
        """Readable when ``receive`` has work. None without a decoder."""
        return None if self._decoder is None else self._decoder.channel

    @property
    def pid(self) -> int | None:
        """The decoding process, if there is one now."""
        return None if self._decoder is None else self._decoder.pid

    def receive(self) -> list[Frame]:
        """Take what has arrived, without waiting: the frames that are ready, oldest first.

        Their images are read-only views of shared memory. Each stays as it is until it is released, even when the
        decoder is replaced or the camera closed meanwhile.
        """
        frames: list[Frame] = []
        decoder = self._decoder
        if decoder is None:
            return frames
        try:
            for message, descriptor in decoder.messages():
                frame = self._take(message, descriptor)
                if frame is not None:
                    frames.append(frame)
                if self._decoder is not decoder:
                    break
        except EOFError:
            self._lose(decoder.obituary(), fatal=self._fatal)
        except (CameraError, msgspec.DecodeError) as error:
            self._lose(f"the decoder misbehaves: {error}", fatal=self._fatal)
        return frames

    def release(self, frame: Frame) -> None:
        """Give a frame's memory back; its image must not be looked at any more. Doing it twice is no matter."""
        self._ledger.release(frame.number)
        number = frame.number - self._past.grabbed
        if self._config.hot is not None and self._decoder is not None and number >= 0:
            self._decoder.done(number)

    def tick(self, now_s: float) -> None:
        """Replace a decoder that hangs, and start one when it is time to try again."""
        if self._final is not None:
            return
        if self._decoder is None:
            if now_s >= self._retry_at_s:
                self._restarts += 1
                self._launch(now_s)
        elif self._silence.is_too_long(now_s):
            reason = f"the decoder hangs: nothing heard of it for {self._silence.limit_s:g} s"
            self._lose(reason, fatal=self._fatal)

    @property
    def status(self) -> CameraStatus:
        """How it is now."""
        totals = self._totals()
        return CameraStatus(
            state=self._final or self._state(),
            rate_hz=self._rate_hz,
            grabbed=totals.grabbed,
            delivered=self._delivered,
            skipped=totals.skipped,
            damaged=totals.damaged,
            restarts=self._restarts,
            last_error=self._last_error,
            width_px=self._ring.width_px if self._ring else 0,
            height_px=self._ring.height_px if self._ring else 0,
            notes=self._notes,
        )

    def close(self) -> None:
        """End the decoding process. Frames that were received stay readable."""
        self._final = self._final or "ended"
        self._stop_decoder()

    def _state(self) -> State:
        if self._recorded and self._config.hot is None:  # it has nothing to deliver while nobody asks
            return "starting" if self._frame_at_s is None else "live"
        state = state_of_live(
            self._clock(),
            since_s=self._since_s,
            frame_at_s=self._frame_at_s,
            stale_after_s=self._stale_after_s,
        )
        return self._judgement.fault or state if state == "live" else state

    @property
    def _is_going_stale(self) -> bool:
        """Whether for half of the time that makes it stale there was no frame that can be decoded."""
        since_s = self._since_s if self._frame_at_s is None else self._frame_at_s
        return self._config.kind.is_camera and self._clock() - since_s > self._stale_after_s / 2

    @property
    def _stale_after_s(self) -> float:
        """A camera that is asked for pictures now and then has not failed between two of them."""
        slowest_s = STALE_PERIODS / self._config.rate_hz if self._config.rate_hz else 0.0
        return max(self._config.stale_after_s, slowest_s)

    def _totals(self) -> Pulse:
        past, pulse = self._past, self._pulse
        return Pulse(past.grabbed + pulse.grabbed, past.skipped + pulse.skipped, past.damaged + pulse.damaged)

    def _launch(self, now_s: float) -> None:
        try:
            self._decoder = DecodingProcess(self.name, self._config)
        except OSError as error:  # no more processes, memory or descriptors: as bad as a decoder that died
            self._lose(f"the decoder cannot be started: {error.strerror or error}", fatal=False)
            return
        self._silence = Silence(self._config, now_s)
        for slot in self._ledger.wanted:
            self._decoder.want(slot)

    def _take(self, message: FromDecoder, descriptor: int | None) -> Frame | None:
        self._silence.heard(opened=isinstance(message, Opened))
        match message:
            case Opened():
                self._attach(message, descriptor)
            case Delivered():
                return self._frame(message)
            case Pulse():
                if message.sight is not None or self._config.hot is not None:  # no picture is no fault
                    self._frame_at_s = self._clock()
                    self._backoff.reset()
                elif message.damaged > self._pulse.damaged and self._is_going_stale:
                    self._last_error = f"camera {self.name}: what {self._config.shown} sends cannot be decoded"
                self._pulse, self._rate_hz = message, message.rate_hz
                if message.sight is not None:
                    self._judgement.see(message.sight, self._clock())
            case Ended():
                self._final = "ended"
                self._stop_decoder()
            case Failed():
                self._lose(message.message, fatal=message.fatal)
        return None

    def _attach(self, opened: Opened, descriptor: int | None) -> None:
        if descriptor is None:
            raise CameraError("it sent no memory")
        try:
            self._ring = Ring.attach(descriptor, opened.width_px, opened.height_px)
        finally:
            os.close(descriptor)
        self._ledger.renew()
        self._frame_at_s = self._clock()
        self._rate_hz = self._rate_hz or opened.rate_hz
        self._notes = opened.notes

    def _frame(self, delivered: Delivered) -> Frame | None:
        if self._ring is None:
            raise CameraError("it delivered a frame before its memory")
        number = self._past.grabbed + delivered.number
        self._ledger.deliver(delivered.slot, number)
        self._delivered += 1
        self._frame_at_s = self._clock()
        grabbed = max(self._pulse.grabbed, delivered.number + 1)
        self._pulse = msgspec.structs.replace(self._pulse, grabbed=grabbed)
        return Frame(self._ring.image(delivered.slot), number, delivered.captured_at_s, delivered.clock_s)

    def _lose(self, reason: str, *, fatal: bool) -> None:
        """The decoder is of no more use: end it, and try again later unless that cannot help."""
        self._stop_decoder()
        self._past, self._pulse, self._rate_hz = self._totals(), Pulse(), 0.0
        self._last_error = f"camera {self.name}: {reason}"
        if fatal:
            self._final = "failed"
        self._retry_at_s = self._clock() + self._backoff.next_s()

    def _stop_decoder(self) -> None:
        if self._decoder is not None:
            self._decoder.stop()
            self._decoder = None
