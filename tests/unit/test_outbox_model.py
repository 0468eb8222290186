"""Whatever is done to the outbox, in whatever order, it holds what a simple model says it should."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.config import OutboxConfig
from edge.outbox import Outbox
from edge.record import Message, Post, Record

CONFIG = OutboxConfig(max_bytes=65_536, commit_wait_s=0)
WATCHES = st.sampled_from(["gate", "bay"])


class Note(Message, frozen=True, kw_only=True):
    serial: int
    ballast: str = ""


class OutboxMachine(RuleBasedStateMachine):
    """The model: a list of undelivered events, the newest state of each watch, and how many of each there ever were."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "outbox.sqlite3"
        self.outbox = Outbox.open(self.path, CONFIG)
        self.epoch = self.outbox.epoch
        self.serial = 0
        self.pending: list[tuple[str, int]] = []
        self.states: dict[str, int] = {}
        self.dirty: set[str] = set()
        self.sequences: dict[int, int] = {}
        self.counts = {"gate": 0, "bay": 0}
        self.delivered = self.refused = 0

    @rule(watch=WATCHES, kilobytes=st.integers(0, 12))
    def change(self, watch: str, kilobytes: int) -> None:
        self.serial += 1
        note = Note(serial=self.serial, ballast="x" * 1000 * kilobytes)
        self.outbox.put(Post(f"{watch}/state", note, retain=True), Post(f"{watch}/event", note))
        assert self.outbox.flush(10)
        self.pending.append((watch, self.serial))
        self.states[watch] = self.serial
        self.dirty.add(watch)
        self.counts[watch] += 1
        self.sequences[self.serial] = self.counts[watch]
        kept = len(self.events())
        assert kept == len(self.pending) or self.outbox.stats().pending_bytes > 65_536 - 2 * 13_000
        self.pending = self.pending[len(self.pending) - kept :]

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), refuse=st.booleans())
    def settle(self, data: st.DataObject, *, refuse: bool) -> None:
        records = self.events()
        for index in sorted(data.draw(st.sets(st.integers(0, len(records) - 1), max_size=5)), reverse=True):
            if refuse:
                self.outbox.refused(records[index], "unwanted")
                self.refused += 1
            else:
                self.outbox.delivered(records[index])
                self.delivered += 1
            del self.pending[index]

    @rule()
    def say_states(self) -> None:
        for record in self.outbox.states(only_dirty=True):
            self.outbox.delivered(record)
        self.dirty.clear()

    @rule()
    def flush(self) -> None:
        assert self.outbox.flush(10)
        stats = self.outbox.stats()
        assert (stats.delivered, stats.refused) == (self.delivered, self.refused)
        assert stats.pending_bytes <= CONFIG.max_bytes
        assert self.serial == stats.pending + stats.delivered + stats.refused + stats.dropped["full"]

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.outbox = Outbox.open(self.path, CONFIG)

    def events(self) -> list[Record]:
        records: list[Record] = []
        while more := self.outbox.events(records[-1] if records else None, limit=3):
            records += more
        return records

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        records = [(record, json.loads(record.payload)) for record in self.events()]
        assert [(record.topic, note["serial"]) for record, note in records] == [
            (f"{watch}/event", serial) for watch, serial in self.pending
        ]
        assert all(note["sequence"] == self.sequences[note["serial"]] for _, note in records)
        states = {
            record.topic.split("/")[0]: json.loads(record.payload) for record in self.outbox.states(only_dirty=False)
        }
        assert {watch: note["serial"] for watch, note in states.items()} == self.states
        dirty = {record.topic.split("/")[0] for record in self.outbox.states(only_dirty=True)}
        assert dirty == self.dirty

    @invariant()
    def counts_what_the_model_counts(self) -> None:
        assert self.outbox.epoch == self.epoch
        assert self.outbox.stats().pending == len(self.pending)
        assert self.outbox.stats().committed == 2 * self.serial

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
            self.folder.cleanup()


TestOutboxModel = OutboxMachine.TestCase
TestOutboxModel.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
