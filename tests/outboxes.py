"""What the tests of the outbox share: a kind of message, clocks set by hand, and fixtures for a fresh outbox."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from edge.config import OutboxConfig
from edge.outbox import Outbox
from edge.record import Message, Post, Priority, Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = OutboxConfig(commit_wait_s=0.001)


class Note(Message, frozen=True, kw_only=True):
    text: str = ""


class Time:
    """Both clocks, set by hand."""

    def __init__(self) -> None:
        self.clock_s = 1_790_000_000.0
        self.monotonic_s = 100.0

    def clock(self) -> float:
        return self.clock_s

    def monotonic(self) -> float:
        return self.monotonic_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite3"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    opened = Outbox.open(path, CONFIG)
    yield opened
    opened.close()


def happened(text: str, topic: str = "gate/event", priority: Priority = Priority.NORMAL) -> Post:
    return Post(topic, Note(text=text), priority=priority)


def became(text: str, topic: str = "gate/state") -> Post:
    return Post(topic, Note(text=text), retain=True)


def events(outbox: Outbox) -> list[Record]:
    assert outbox.flush(10)
    records: list[Record] = []
    while more := outbox.events(records[-1] if records else None, limit=7):
        records += more
    return records


def texts(records: list[Record]) -> list[str]:
    return [json.loads(record.payload)["text"] for record in records]
