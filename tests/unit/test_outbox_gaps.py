"""What is lost is told to subscribers: how many, why, from when to when; once, and not forgotten until it is said."""

from __future__ import annotations

import json
import sqlite3
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest
from outboxes import CONFIG, Time, events, happened

from edge.config import OutboxConfig
from edge.messages import Clock, Topics, gap, utc
from edge.outbox import Outbox, file
from edge.outbox.gaps import INTERVAL_S
from edge.record import Loss

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.record import Post, Record

TOPICS = Topics("sightpost", "porch")
SMALL = OutboxConfig(commit_wait_s=0.001, max_bytes=65_536)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite3"


def announce(loss: Loss) -> Post:
    return gap(TOPICS, loss, Clock(quality="synchronized", boot_id="boot", monotonic_s=1.0))


def opened(path: Path, time: Time, config: OutboxConfig = SMALL, *, tell: bool = True) -> Outbox:
    told = announce if tell else None
    return Outbox.open(path, config, clock=time.clock, monotonic=time.monotonic, announce=told)


def gaps(records: list[Record]) -> list[dict[str, Any]]:
    return [json.loads(record.payload) for record in records if record.topic == TOPICS.gap]


def overflow(outbox: Outbox, count: int, watch: str = "gate") -> None:
    for _ in range(count):
        outbox.put(happened("x" * 10_000, TOPICS.event(watch)))
        assert outbox.flush(10)


def test_what_had_to_go_is_told_with_how_many_and_from_when_to_when(path: Path) -> None:
    time = Time()
    outbox = opened(path, time)
    overflow(outbox, 6)
    began_s = time.clock_s
    time.clock_s += 60
    overflow(outbox, 1)
    [told] = gaps(events(outbox))
    assert told["cause"] == "full"
    assert told["count"] == outbox.stats().dropped["full"] == 1
    assert told["watches"] == ["gate"]
    assert (told["since"], told["until"]) == (utc(began_s), utc(began_s))
    assert told["sequence"] == 1
    assert told["epoch"] == outbox.epoch
    outbox.close()


def test_losses_that_go_on_are_told_now_and_then_and_every_one_once(path: Path) -> None:
    time = Time()
    outbox = opened(path, time)
    overflow(outbox, 20)
    assert len(gaps(events(outbox))) == 1
    time.monotonic_s += INTERVAL_S
    overflow(outbox, 10)
    time.monotonic_s += INTERVAL_S
    overflow(outbox, 1)
    told = gaps(events(outbox))
    assert len(told) == 3
    assert sum(each["count"] for each in told) == outbox.stats().dropped["full"] > 20
    outbox.close()


def test_years_of_loss_take_a_few_rows_and_no_gap_is_ever_dropped_itself(path: Path) -> None:
    time = Time()
    outbox = opened(path, time)
    for number in range(40):
        overflow(outbox, 7, watch=("gate", "bay")[number % 2])
        time.monotonic_s += INTERVAL_S
        time.clock_s += INTERVAL_S
    told = [record for record in events(outbox) if record.topic == TOPICS.gap]
    assert len(told) == 16
    for record in told:
        outbox.delivered(record)
    overflow(outbox, 1)
    [rest] = gaps(events(outbox))
    assert sum(each["count"] for each in [*gaps(told), rest]) == outbox.stats().dropped["full"]
    assert rest["watches"] == ["bay", "gate"]
    outbox.close()


def test_a_loss_is_not_forgotten_over_a_restart(path: Path) -> None:
    time = Time()
    silent = opened(path, time, tell=False)
    overflow(silent, 10)
    dropped = silent.stats().dropped["full"]
    assert dropped > 0
    assert gaps(events(silent)) == []
    silent.close()
    outbox = opened(path, time)
    overflow(outbox, 1)
    [told] = gaps(events(outbox))
    assert told["count"] == outbox.stats().dropped["full"] == dropped + 1
    outbox.close()


def test_what_grew_too_old_is_told(path: Path) -> None:
    time = Time()
    outbox = opened(path, time, OutboxConfig(commit_wait_s=0.001, max_age_s=100))
    outbox.put(happened("early", TOPICS.event("gate")))
    assert outbox.flush(10)
    time.monotonic_s += 101
    outbox.put(happened("late", TOPICS.event("gate")))
    [told] = gaps(events(outbox))
    assert (told["cause"], told["count"]) == ("old", 1)
    time.monotonic_s += 1000
    outbox.put(happened("very late", TOPICS.event("gate")))
    assert len(gaps(events(outbox))) == 2, "the first one was dropped"
    outbox.close()


def test_a_fresh_store_says_that_it_does_not_know_what_the_damaged_one_held(path: Path) -> None:
    time = Time()
    path.write_bytes(b"no database" * 1000)
    outbox = opened(path, time, CONFIG)
    [told] = gaps(events(outbox))
    assert (told["cause"], told["count"], told["since"], told["watches"]) == ("damaged", None, None, [])
    assert told["epoch"] == outbox.epoch
    outbox.close()


def test_what_cannot_be_written_is_told(path: Path) -> None:
    outbox = opened(path, Time(), CONFIG)
    note = happened("a", TOPICS.event("gate"))
    bad = type(note)(note.topic, type(note.message)(text=object()))  # type: ignore[arg-type,call-arg]
    outbox.put(bad)
    [told] = gaps(events(outbox))
    assert (told["cause"], told["count"], told["watches"]) == ("invalid", 1, ["gate"])
    outbox.close()


def test_what_never_reached_the_disk_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox.open(path, CONFIG, announce=announce, waiting_bytes=5_000)
    commit: Callable[..., None] = outbox._stores.current.store.commit
    monkeypatch.setattr(
        outbox._stores.current.store, "commit", lambda _: (_ for _ in ()).throw(sqlite3.OperationalError("no"))
    )
    monkeypatch.setattr(outbox._stores, "_reopen", lambda _: None)
    for number in range(20):
        outbox.put(happened(str(number), TOPICS.event("gate")))
        while not number and outbox.stats().waiting:  # until it is tried: what is lost then has one cause and one batch
            sleep(0.001)
    monkeypatch.setattr(outbox._stores.current.store, "commit", commit)
    records = events(outbox)
    [told] = gaps(records)
    assert told["cause"] == "waiting"
    assert told["count"] == outbox.stats().dropped["waiting"]
    assert told["count"] + len(records) - 1 == 20
    outbox.close()


def test_an_outbox_of_the_first_layout_is_brought_up_to_date(path: Path) -> None:
    outbox = opened(path, Time(), CONFIG)
    outbox.put(happened("kept"))
    assert outbox.flush(10)
    epoch = outbox.epoch
    outbox.close()
    with sqlite3.connect(path) as connection:
        connection.executescript("DROP INDEX kept; DROP TABLE gaps; PRAGMA user_version = 1;")
    connection.close()
    outbox = opened(path, Time(), CONFIG)
    assert outbox.epoch == epoch
    assert len(events(outbox)) == 1
    outbox.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (file.SCHEMA_VERSION,)
    connection.close()


def test_losses_add_up() -> None:
    first = Loss("full", 2, 10.0, 20.0, frozenset({"a"}))
    assert first + Loss("full", 3, 5.0, 15.0, frozenset({"b"})) == Loss("full", 5, 5.0, 20.0, frozenset({"a", "b"}))
    assert first + Loss("full", None, None, 30.0) == Loss("full", None, None, 30.0, frozenset({"a"}))
