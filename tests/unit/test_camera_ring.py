"""The shared memory, and the book of who may use which slot of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.camera.ring import SLOTS, Ring, SlotLedger
from edge.errors import CameraError


def test_what_the_decoder_writes_the_reader_sees_without_a_copy() -> None:
    decoders, descriptor = Ring.create(33, 17)
    readers = Ring.attach(descriptor, 33, 17)
    os.close(descriptor)
    for slot in range(SLOTS):
        decoders.image(slot)[:] = slot + 1
    for slot in range(SLOTS):
        image = readers.image(slot)
        assert image.shape == (17, 33, 3)
        assert (image == slot + 1).all()


def test_a_reader_cannot_write() -> None:
    _, descriptor = Ring.create(8, 8)
    readers = Ring.attach(descriptor, 8, 8)
    os.close(descriptor)
    with pytest.raises(ValueError, match="read-only"):
        readers.image(0)[:] = 1


def test_an_image_outlives_its_ring() -> None:
    decoders, descriptor = Ring.create(8, 8)
    decoders.image(2)[:] = 7
    image = Ring.attach(descriptor, 8, 8).image(2)
    os.close(descriptor)
    del decoders
    assert int(image.sum()) == 7 * 8 * 8 * 3


def test_the_memory_cannot_be_truncated_under_a_reader() -> None:
    _, descriptor = Ring.create(64, 64)
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)


def test_memory_that_is_too_small_or_could_shrink_is_refused() -> None:
    _, descriptor = Ring.create(8, 8)
    with pytest.raises(CameraError, match=f"does not hold {SLOTS} pictures of 640x480"):
        Ring.attach(descriptor, 640, 480)
    os.close(descriptor)
    unsealed = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(unsealed, 1 << 20)
    with pytest.raises(CameraError):
        Ring.attach(unsealed, 8, 8)
    os.close(unsealed)


def test_many_rings_leave_no_descriptors() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        ring, descriptor = Ring.create(16, 16)
        Ring.attach(descriptor, 16, 16).image(0)[0, 0].copy()
        os.close(descriptor)
        del ring
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_slot_that_nobody_asked_for_is_not_accepted() -> None:
    ledger = SlotLedger()
    with pytest.raises(CameraError, match="nobody asked for"):
        ledger.deliver(0, 0)


def test_replaced_memory_frees_what_is_held_but_keeps_requests() -> None:
    ledger = SlotLedger(2)
    first, second = ledger.want(), ledger.want()
    assert first is not None
    ledger.deliver(first, 10)
    assert ledger.want() is None
    ledger.renew()
    assert ledger.wanted == (second,)
    assert ledger.want() == first
    ledger.release(10)  # its memory is gone: the slot is not freed a second time
    assert ledger.want() is None


class LedgerMachine(RuleBasedStateMachine):
    """However requests, deliveries, releases and new memory interleave, no slot ever has two users."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = SlotLedger()
        self.held: dict[int, int] = {}
        self.number = 0

    @rule()
    def ask(self) -> None:
        slot = self.ledger.want()
        if slot is None:
            assert len(self.ledger.wanted) + len(self.held) == SLOTS
        else:
            assert slot not in self.held.values()

    @precondition(lambda self: self.ledger.wanted)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(self.ledger.wanted))
        self.ledger.deliver(slot, self.number)
        self.held[self.number] = slot
        self.number += 1

    @rule(number=st.integers(0, 30))
    def release(self, number: int) -> None:
        self.ledger.release(number)
        self.held.pop(number, None)

    @rule()
    def renew(self) -> None:
        self.ledger.renew()
        self.held.clear()

    @invariant()
    def every_slot_has_one_user(self) -> None:
        used = [*self.ledger.wanted, *self.held.values()]
        assert len(used) == len(set(used)) <= SLOTS


TestLedger = LedgerMachine.TestCase


def test_slots_start_on_pages() -> None:
    ring, descriptor = Ring.create(641, 359)
    os.close(descriptor)
    starts = np.array([ring.image(slot).ctypes.data for slot in range(SLOTS)])
    assert (starts % 4096 == 0).all()
    assert (np.diff(starts) >= 641 * 359 * 3).all()
