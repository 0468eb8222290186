"""What a device without a clock of its own said before it knew the time is put right once it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.messages import as_corrected, is_doubtful

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.record import ClockQuality, Record

_LOOK_S = 1.0


class Timekeeper:
    """Knows whether the wall clock is synchronized, and since when in terms of the monotonic one. For one thread.

    Args:
        clock: UTC seconds since 1970.
        monotonic: seconds of this boot.
        quality: of ``clock``; asked about once a second.
        boot: this boot's id; empty if unknown, then nothing can be put right.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        quality: Callable[[], ClockQuality],
        boot: str,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._quality = quality
        self._boot = boot
        self._looked_s = float("-inf")
        self._synchronized: bool | None = None

    def look(self) -> bool:
        """See how the clock is; returns whether it has just become synchronized."""
        now_s = self._monotonic()
        if now_s - self._looked_s < _LOOK_S:
            return False
        self._looked_s = now_s
        before, self._synchronized = self._synchronized, self._quality() == "synchronized"
        return before is False and self._synchronized

    def put_right(self, record: Record) -> bytes:
        """Return the payload of a record, with its times corrected where they were doubtful and no longer need be."""
        if not is_doubtful(record.payload):
            return record.payload
        self.look()
        if not self._synchronized:
            return record.payload
        # Both clocks were read together when the record was put; how far apart they are shows how far one has jumped.
        behind_s = (self._clock() - self._monotonic()) - (record.stamp.clock_s - record.stamp.monotonic_s)
        return as_corrected(record.payload, boot=self._boot, behind_s=behind_s)
