"""The memory that a decoding process and the daemon share: a few picture-sized slots, and who may use which.

The decoder makes the memory once it knows the size of a picture and sends its file descriptor; OpenCV then converts
straight into a slot and the daemon reads it there. Nothing is locked: a slot belongs to the decoder from the moment it
is asked for (``Want``) until it is delivered, and to the reader from then until it is released.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import TYPE_CHECKING, Self

from edge.errors import CameraError

if TYPE_CHECKING:
    from edge.frame import Image

SLOTS = 7
"""Two being written or on their way, and five being looked at: three interpreters, and two frames ready for them.

Slots that are not needed cost nothing: the one that was given back last is used again first.
"""

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Ring:
    """Slots for pictures of one size in anonymous shared memory, which lives as long as any view of it does.

    Make one with ``create`` (the decoder: writable) or ``attach`` (the reader: read-only).
    """

    def __init__(self, memory: mmap.mmap, width_px: int, height_px: int, slots: int) -> None:
        import numpy as np  # not before preload has told it to start no threads

        self.width_px, self.height_px = width_px, height_px
        self._images: list[Image] = [
            np.frombuffer(memory, np.uint8, width_px * height_px * 3, slot * _stride(width_px, height_px)).reshape(
                height_px, width_px, 3
            )
            for slot in range(slots)
        ]

    @classmethod
    def create(cls, width_px: int, height_px: int, slots: int = SLOTS) -> tuple[Self, int]:
        """Make the memory; returns the ring and a descriptor to send to the reader, which the caller closes.

        The size is sealed: no writer can truncate the memory under a reader.
        """
        size = slots * _stride(width_px, height_px)
        descriptor = os.memfd_create("sightpost-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, size)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            return cls(mmap.mmap(descriptor, size), width_px, height_px, slots), descriptor
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def attach(cls, descriptor: int, width_px: int, height_px: int, slots: int = SLOTS) -> Self:
        """Map a decoder's memory read-only; the caller still owns, and closes, the descriptor.

        Raises:
            CameraError: the memory is smaller than its slots, or could shrink; or there is no room for it here.
        """
        size = slots * _stride(width_px, height_px)
        sealed = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
        if os.fstat(descriptor).st_size < size or not sealed:
            raise CameraError(f"the decoder's memory does not hold {slots} pictures of {width_px}x{height_px}")
        try:
            memory = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
        except OSError as error:  # an address space of 32 bits, or a limit
            raise CameraError(f"no room for {slots} pictures of {width_px}x{height_px}: {error.strerror}") from error
        return cls(memory, width_px, height_px, slots)

    def image(self, slot: int) -> Image:
        """A view, not a copy, of a slot: ``(H, W, 3) uint8 BGR``; it keeps the memory alive."""
        return self._images[slot]


class SlotLedger:
    """The reader's book of slots: each is free, wanted (the decoder's) or held (a frame somebody looks at)."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = slots
        self._free = list(reversed(range(slots)))
        self._wanted: list[int] = []
        self._held: dict[int, int] = {}  # by the frame's number

    @property
    def wanted(self) -> tuple[int, ...]:
        """The slots that the decoder owes, oldest request first."""
        return tuple(self._wanted)

    def want(self) -> int | None:
        """Take a free slot for the decoder; None when there is none."""
        if not self._free:
            return None
        slot = self._free.pop()
        self._wanted.append(slot)
        return slot

    def deliver(self, slot: int, number: int) -> None:
        """The decoder filled a slot with frame ``number``.

        Raises:
            CameraError: the slot was not asked for; the decoder cannot be trusted any more.
        """
        if slot not in self._wanted:
            raise CameraError(f"the decoder filled slot {slot}, which nobody asked for")
        self._wanted.remove(slot)
        self._held[number] = slot

    def release(self, number: int) -> None:
        """Frame ``number`` is not looked at any more. One from replaced memory, or released before, is no matter."""
        slot = self._held.pop(number, None)
        if slot is not None:
            self._free.append(slot)

    def renew(self) -> None:
        """There is new memory: frames held lie in the old one and occupy nothing here. Requests stand."""
        self._held.clear()
        self._free = [slot for slot in range(self._slots) if slot not in self._wanted]


def _stride(width_px: int, height_px: int) -> int:
    """Bytes from one slot to the next: slots start on pages."""
    return -(-width_px * height_px * 3 // mmap.PAGESIZE) * mmap.PAGESIZE
