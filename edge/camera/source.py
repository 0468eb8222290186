"""What every source of frames can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.frame import Image


class Grab(Enum):
    """What came of grabbing a frame."""

    FRAME = auto()
    NOTHING = auto()  # yet; a source that waits says so at least once a second
    END = auto()


class Source(ABC):
    """Something that frames are taken from, one after the other.

    Attributes:
        live: frames belong to the time at which they are grabbed, not to a place in a recording.
        repeats: the same picture twice says nothing; otherwise a sensor is behind it, whose noise never repeats.
        rate_hz: the nominal rate, 0 when unknown.
        position_s: where the grabbed frame lies in a recording; 0 for a live source.
        damaged: how many frames were passed over because they could not be decoded.
        notes: what an operator should know about how it was opened.
    """

    live = False
    repeats = True
    rate_hz = 0.0
    position_s = 0.0
    damaged = 0
    notes: tuple[str, ...] = ()

    @abstractmethod
    def grab(self) -> Grab:
        """Advance to the next frame without converting it.

        Raises:
            CameraError: a live source has stopped delivering.
        """

    @abstractmethod
    def retrieve(self, out: Image | None) -> Image | None:
        """Give the grabbed frame, ``(H, W, 3) uint8 BGR``: in ``out`` where that has the right size and the source can.

        None when the frame cannot be decoded.
        """

    def settle(self, number: int) -> None:  # noqa: B027  most have nothing to do
        """The reader has done with the frame that was grabbed as the ``number``-th, from 0."""

    def close(self) -> None:  # noqa: B027  likewise
        """Let go of the device, connection or file."""
