"""The durable queue: what is committed stays, what is dropped is counted, and inference never waits."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

from brokers import eventually
from outboxes import CONFIG, Time, became, events, happened, outbox, path, texts

from edge.config import OutboxConfig
from edge.outbox import Outbox
from edge.record import Post, Priority

__all__ = ["outbox", "path"]  # fixtures


def test_what_is_put_comes_out_in_order_with_its_identity(outbox: Outbox) -> None:
    for text in "abc":
        outbox.put(happened(text))
    payloads = [json.loads(record.payload) for record in events(outbox)]
    assert [(each["text"], each["sequence"], each["epoch"]) for each in payloads] == [
        ("a", 1, outbox.epoch),
        ("b", 2, outbox.epoch),
        ("c", 3, outbox.epoch),
    ]
    assert [record.id for record in events(outbox)] == [each["id"] for each in payloads]
    assert len({each["id"] for each in payloads}) == 3


def test_every_topic_has_a_sequence_of_its_own(outbox: Outbox) -> None:
    outbox.put(happened("a", "gate/event"), became("a"))
    outbox.put(happened("b", "bay/event"))
    outbox.put(happened("c", "gate/event"), became("c"))
    assert [json.loads(record.payload)["sequence"] for record in events(outbox)] == [1, 1, 2]
    assert [json.loads(record.payload)["sequence"] for record in outbox.states(only_dirty=True)] == [2]


def test_bytes_are_kept_as_they_are(outbox: Outbox) -> None:
    outbox.put(Post("gate/image", b"\xff\xd8"))
    assert [record.payload for record in events(outbox)] == [b"\xff\xd8"]


def test_only_the_newest_state_of_a_topic_is_kept(outbox: Outbox) -> None:
    for text in ("open", "closed", "open again"):
        outbox.put(became(text))
    outbox.put(became("free", "bay/state"))
    outbox.flush(10)
    assert texts(outbox.states(only_dirty=True)) == ["free", "open again"]
    assert outbox.stats().pending == 0


def test_a_state_is_said_once_until_it_changes(outbox: Outbox) -> None:
    outbox.put(became("open"))
    outbox.flush(10)
    [said] = outbox.states(only_dirty=True)
    outbox.delivered(said)
    assert outbox.states(only_dirty=True) == []
    outbox.flush(10)
    assert outbox.states(only_dirty=True) == []
    assert texts(outbox.states(only_dirty=False)) == ["open"]
    outbox.put(became("closed"))
    outbox.flush(10)
    outbox.delivered(said)  # late news of the old one
    outbox.flush(10)
    assert texts(outbox.states(only_dirty=True)) == ["closed"]


def test_a_topic_that_was_taken_back_is_forgotten_once_a_broker_knows(outbox: Outbox) -> None:
    outbox.put(became("open"), Post("bay/state", b"", retain=True))
    outbox.flush(10)
    assert [record.topic for record in outbox.states(only_dirty=True)] == ["bay/state", "gate/state"]
    for record in outbox.states(only_dirty=True):
        outbox.delivered(record)
    outbox.flush(10)
    assert [record.topic for record in outbox.states(only_dirty=False)] == ["gate/state"]


def test_delivered_events_are_gone_at_once_and_after_the_next_start(path: Path) -> None:
    outbox = Outbox.open(path, CONFIG)
    for text in "abcd":
        outbox.put(happened(text))
    first, second, *_ = events(outbox)
    outbox.delivered(second)
    outbox.delivered(first)
    outbox.delivered(first)
    assert texts(events(outbox)) == ["c", "d"]
    assert outbox.stats().pending == 2
    outbox.close()
    again = Outbox.open(path, CONFIG)
    assert texts(events(again)) == ["c", "d"]
    assert (again.stats().pending, again.stats().delivered, again.stats().committed) == (2, 2, 4)
    again.close()


def test_a_restart_keeps_epoch_and_sequence_and_marks_what_is_from_before(path: Path) -> None:
    outbox = Outbox.open(path, CONFIG)
    outbox.put(happened("a"), became("a"))
    epoch = outbox.epoch
    outbox.close()
    again = Outbox.open(path, CONFIG)
    again.put(happened("b"))
    records = events(again)
    assert [json.loads(record.payload)["sequence"] for record in records] == [1, 2]
    assert [record.earlier for record in records] == [True, False]
    assert [record.earlier for record in again.states(only_dirty=True)] == [True]
    assert again.epoch == epoch
    again.close()


def test_posts_of_one_put_are_committed_together_or_not_at_all(outbox: Outbox) -> None:
    outbox.put(happened("good"), became("good"))
    outbox.put(became("half"), happened("\ud800 is not UTF-8"))
    outbox.put(happened("after"))
    assert texts(events(outbox)) == ["good", "after"]
    assert texts(outbox.states(only_dirty=True)) == ["good"]
    assert outbox.stats().dropped["invalid"] == 2
    assert [json.loads(record.payload)["sequence"] for record in events(outbox)] == [1, 2]


def test_many_puts_share_a_commit(path: Path) -> None:
    commits: list[int] = []
    outbox = Outbox.open(path, OutboxConfig(commit_wait_s=0.5))
    outbox.on_commit(lambda: commits.append(outbox.stats().committed))
    outbox.put(happened("first"))
    eventually(lambda: commits == [1])
    for number in range(200):
        outbox.put(happened(str(number)))
    outbox.flush(10)
    outbox.close()
    assert commits == [1, 201]


def test_what_comes_after_a_pause_waits_for_no_company(path: Path) -> None:
    outbox = Outbox.open(path, OutboxConfig(commit_wait_s=0.5))
    for number in range(1, 3):
        time.sleep(0.51)  # the pause
        began_s = time.perf_counter()
        outbox.put(happened("alone"))
        eventually(lambda number=number: outbox.stats().committed == number, 5)
        assert time.perf_counter() - began_s < 0.4
    outbox.close()


def test_what_comes_too_fast_waits_for_company_only_so_long(path: Path) -> None:
    outbox = Outbox.open(path, OutboxConfig(commit_wait_s=0.01))
    for number in range(1, 4):
        outbox.put(happened("next"))
        eventually(lambda number=number: outbox.stats().committed == number, 5)
    outbox.close()


def test_a_disk_that_does_not_keep_up_never_delays_a_put_and_every_drop_is_counted(path: Path) -> None:
    outbox = Outbox.open(path, CONFIG, waiting_bytes=50_000)
    stall = sqlite3.connect(path, isolation_level=None)
    stall.execute("BEGIN IMMEDIATE")  # the writer waits for this as it would for a disk
    outbox.put(happened("first"))
    eventually(lambda: outbox.stats().waiting == 0)
    slowest_s = 0.0
    for number in range(100):
        before_s = time.perf_counter()
        outbox.put(happened(str(number)), became(str(number)))
        slowest_s = max(slowest_s, time.perf_counter() - before_s)
    assert slowest_s < 0.5
    assert outbox.stats().dropped["waiting"] == 2 * 75
    stall.execute("ROLLBACK")
    stall.close()
    assert texts(events(outbox)) == ["first", *map(str, range(75, 100))]
    assert texts(outbox.states(only_dirty=True)) == ["99"]
    outbox.close()
    again = Outbox.open(path, CONFIG)
    assert again.stats().dropped["waiting"] == 150
    again.close()


def test_beyond_max_bytes_the_oldest_events_go_and_are_counted(path: Path) -> None:
    outbox = Outbox.open(path, OutboxConfig(max_bytes=65_536, commit_wait_s=0.001))
    for number in range(100):
        outbox.put(happened(f"{number:02}" + "x" * 2000))
    kept = texts(events(outbox))
    stats = outbox.stats()
    assert 0 < stats.pending_bytes <= 65_536
    assert [text[:2] for text in kept] == [f"{number:02}" for number in range(100 - len(kept), 100)]
    assert len(kept) > 25
    assert stats.dropped["full"] == 100 - len(kept)
    outbox.close()
    again = Outbox.open(path, CONFIG)
    assert again.stats().dropped["full"] == 100 - len(kept)
    again.close()


def test_what_is_expendable_goes_first(path: Path) -> None:
    outbox = Outbox.open(path, OutboxConfig(max_bytes=65_536, commit_wait_s=0.001))
    for number in range(20):
        outbox.put(happened(f"event {number}"), Post("gate/image", b"x" * 10_000, priority=Priority.EXPENDABLE))
    kept = [record.topic for record in events(outbox)]
    assert kept.count("gate/event") == 20
    assert 4 <= kept.count("gate/image") <= 6
    outbox.close()


def test_one_that_is_larger_than_everything_is_dropped_and_counted(path: Path) -> None:
    outbox = Outbox.open(path, OutboxConfig(max_bytes=65_536, commit_wait_s=0.001))
    outbox.put(Post("gate/image", b"x" * 100_000))
    assert events(outbox) == []
    assert outbox.stats().dropped["full"] == 1
    outbox.close()


def test_what_is_too_old_goes_and_is_counted(path: Path) -> None:
    now = Time()
    config = OutboxConfig(max_age_s=3600, commit_wait_s=0.001)
    outbox = Outbox.open(path, config, clock=now.clock, monotonic=now.monotonic)
    outbox.put(happened("old"))
    outbox.flush(10)
    now.monotonic_s += 3000
    outbox.put(happened("younger"))
    outbox.flush(10)
    assert outbox.stats().oldest_age_s == 3000
    now.monotonic_s += 1000
    outbox.put(happened("new"))
    assert texts(events(outbox)) == ["younger", "new"]
    assert outbox.stats().dropped["old"] == 1
    outbox.close()
    now.clock_s += 4600
    now.monotonic_s = 5.0  # another boot
    again = Outbox.open(path, config, clock=now.clock, monotonic=now.monotonic)
    again.put(happened("after the reboot"))
    assert texts(events(again)) == ["after the reboot"]
    assert again.stats().dropped["old"] == 3
    again.close()


def test_a_clock_that_jumps_makes_nothing_old(path: Path) -> None:
    now = Time()
    config = OutboxConfig(max_age_s=3600, commit_wait_s=0.001)
    now.clock_s = 5.0  # 1970: not set yet
    outbox = Outbox.open(path, config, clock=now.clock, monotonic=now.monotonic)
    outbox.put(happened("before the clock was set"))
    outbox.flush(10)
    now.clock_s = 1_790_000_000.0
    outbox.put(happened("after"))
    assert texts(events(outbox)) == ["before the clock was set", "after"]
    outbox.close()
    again = Outbox.open(path, config, clock=now.clock, monotonic=now.monotonic)
    again.put(happened("and after a restart"))
    assert len(events(again)) == 3
    again.close()


def test_what_a_broker_refuses_is_set_aside_with_the_reason(outbox: Outbox, path: Path) -> None:
    outbox.put(happened("unwanted"), became("unwanted too"))
    [event] = events(outbox)
    [said] = outbox.states(only_dirty=True)
    outbox.refused(event, "Not authorized")
    outbox.refused(said, "Not authorized")
    assert events(outbox) == []
    assert outbox.states(only_dirty=True) == []
    assert (outbox.stats().refused, outbox.stats().delivered) == (2, 0)
    with sqlite3.connect(path) as reader:
        rows = reader.execute("SELECT id, topic, reason FROM dead_letters ORDER BY number").fetchall()
    reader.close()
    assert rows == [(event.id, "gate/event", "Not authorized"), (said.id, "gate/state", "Not authorized")]


def test_dead_letters_are_bounded(path: Path) -> None:
    outbox = Outbox.open(path, OutboxConfig(max_bytes=65_536, commit_wait_s=0.001))
    for _ in range(20):
        outbox.put(Post("gate/image", b"x" * 1000))
        [record] = events(outbox)
        outbox.refused(record, "too large")
    outbox.flush(10)
    with sqlite3.connect(path) as reader:
        numbers = [number for (number,) in reader.execute("SELECT number FROM dead_letters ORDER BY number")]
    reader.close()
    assert numbers == [16, 17, 18, 19, 20]
    outbox.close()
