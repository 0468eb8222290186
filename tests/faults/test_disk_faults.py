"""Disks that are full, read-only, failing or slow: the device goes on, and loses nothing that was committed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from brokers import Subscriber, eventually, mosquitto
from delivery import TOPICS, assert_in_order, change, without_repeats
from disks import ext4, fill, require, tmpfs

from edge.config import MqttConfig, OutboxConfig
from edge.messages import gap
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.reporting import stamp

if TYPE_CHECKING:
    from edge.record import Record


def open_outbox(folder: Path, memory: Path, **settings: Any) -> Outbox:
    memory.mkdir(exist_ok=True)
    return Outbox.open(
        folder / "outbox.sqlite",
        OutboxConfig(commit_wait_s=0.001, **settings),
        announce=lambda loss: gap(TOPICS, loss, stamp("boot", time.monotonic())),
        memory=memory,
    )


def labels(outbox: Outbox) -> list[str]:
    records: list[Record] = []
    while more := outbox.events(records[-1] if records else None, limit=1000):
        records += more
    return [
        payload["label"] for payload in map(json.loads, (record.payload for record in records)) if "label" in payload
    ]


def say(outbox: Outbox, *words: str) -> float:
    """Returns how long the slowest took, in seconds."""
    slowest_s = 0.0
    for word in words:
        before_s = time.perf_counter()
        outbox.put(*change(word))
        slowest_s = max(slowest_s, time.perf_counter() - before_s)
    return slowest_s


@pytest.mark.slow
def test_on_a_full_disk_it_goes_on_to_say_what_it_sees(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path) as broker,
        Subscriber(broker.port) as subscriber,
        tmpfs(tmp_path / "disk", "4m") as disk,
    ):
        outbox = open_outbox(disk, tmp_path / "memory")
        say(outbox, "before")
        assert outbox.flush(10)
        filler = fill(disk)
        assert say(outbox, *(f"meanwhile {number}" for number in range(3000))) < 0.5
        publisher = Publisher(outbox, MqttConfig(host="127.0.0.1", port=broker.port, replay_rate_hz=0), TOPICS)
        publisher.start()
        eventually(lambda: any(each["label"] == "meanwhile 2999" for each in subscriber.payloads("/event")), 20)
        alarm = eventually(lambda: [each for each in subscriber.payloads("porch/status") if each["outbox"]["failure"]])
        assert "No space left on device: free some space" in alarm[0]["outbox"]["failure"]
        filler.unlink()
        eventually(lambda: not outbox.failing, 20)
        say(outbox, "after")
        eventually(lambda: any(each["label"] == "after" for each in subscriber.payloads("/event")))
        eventually(lambda: subscriber.payloads("porch/status")[-1]["outbox"]["failure"] is None)
        publisher.stop()
        heard = {payload["label"] for payload in subscriber.payloads("/event")}
        assert heard == {"before", *(f"meanwhile {number}" for number in range(3000)), "after"}
        outbox.close()
    assert not list((tmp_path / "memory").iterdir()), "something is left in memory"


def test_a_full_disk_at_the_start_is_no_reason_to_see_nothing(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "1m") as disk:
        outbox = open_outbox(disk, tmp_path / "memory")
        say(outbox, "before")
        outbox.close()
        filler = fill(disk)
        outbox = open_outbox(disk, tmp_path / "memory")
        say(outbox, "meanwhile")
        assert outbox.flush(10)
        assert labels(outbox) == ["meanwhile"]
        outbox.close()  # what is in memory is there for the next start
        filler.unlink()
        outbox = open_outbox(disk, tmp_path / "memory")
        assert not outbox.failing
        say(outbox, "after")
        assert outbox.flush(10)
        assert labels(outbox) == ["before", "meanwhile", "after"]
        outbox.close()


@pytest.mark.slow
def test_a_backlog_larger_than_memory_drops_its_oldest_and_tells(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "64m") as disk:
        outbox = open_outbox(disk, tmp_path / "memory")
        filler = fill(disk)
        for number in range(40_000):
            say(outbox, str(number))
            if number % 1000 == 999:
                assert outbox.flush(20)
        filler.unlink()
        eventually(lambda: not outbox.failing, 30)
        stats, kept = outbox.stats(), labels(outbox)
        outbox.close()
    assert kept[-1] == "39999"
    assert kept == [str(number) for number in range(40_000 - len(kept), 40_000)]
    assert sum(stats.dropped.values()) == 40_000 - len(kept) > 0, "dropped and not counted"


@pytest.mark.slow
def test_a_disk_that_turns_read_only_keeps_what_it_has_and_memory_takes_over(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path) as broker,
        Subscriber(broker.port) as subscriber,
        ext4(tmp_path / "disk") as disk,
    ):
        outbox = open_outbox(disk.folder, tmp_path / "memory")
        say(outbox, *(f"before {number}" for number in range(100)))
        assert outbox.flush(10)
        disk.fail()
        say(outbox, *(f"meanwhile {number}" for number in range(100)))
        publisher = Publisher(outbox, MqttConfig(host="127.0.0.1", port=broker.port), TOPICS)
        publisher.start()
        eventually(lambda: any(each["label"] == "meanwhile 99" for each in subscriber.payloads("/event")), 20)
        assert outbox.failing
        failure = outbox.stats().failure
        publisher.stop()
        outbox.close()
        disk.repair()
        outbox = open_outbox(disk.folder, tmp_path / "memory")
        assert not outbox.failing, outbox.stats().failure
        publisher = Publisher(outbox, MqttConfig(host="127.0.0.1", port=broker.port), TOPICS)
        publisher.start()
        eventually(lambda: outbox.stats().pending == 0)
        publisher.stop()
        outbox.close()
        heard = subscriber.payloads("/event")
    assert {each["label"] for each in heard} == {f"{when} {n}" for when in ("before", "meanwhile") for n in range(100)}
    by_epoch: dict[str, list[dict[str, Any]]] = {}
    for payload in without_repeats(heard):
        by_epoch.setdefault(payload["epoch"], []).append(payload)
    assert len(by_epoch) == 2, "what was only ever in memory must not continue the count of the disk"
    for payloads in by_epoch.values():
        assert_in_order(payloads)
    assert failure is not None
    assert "disk" in failure


def test_an_outbox_on_a_read_only_disk_starts_in_memory(tmp_path: Path) -> None:
    with ext4(tmp_path / "disk") as disk:
        outbox = open_outbox(disk.folder, tmp_path / "memory")
        say(outbox, "before")
        outbox.close()
        disk.fail()
        outbox = open_outbox(disk.folder, tmp_path / "memory")
        assert outbox.failing
        say(outbox, "meanwhile")
        assert outbox.flush(10)
        assert labels(outbox) == ["meanwhile"]
        outbox.close()


PUTTING = """
import sys, time
from pathlib import Path
from delivery import change
from edge.config import OutboxConfig
from edge.outbox import Outbox
store = Path(sys.argv[1])
outbox = Outbox.open(store, OutboxConfig(commit_wait_s=0.001), memory=store.parent)
slowest_s, number, until_s = 0.0, 0, time.monotonic() + float(sys.argv[2])
while time.monotonic() < until_s:
    before_s = time.perf_counter()
    outbox.put(*change(str(number)))
    slowest_s = max(slowest_s, time.perf_counter() - before_s)
    number += 1
    if outbox.flush(0.01):
        print("safe", number - 1, flush=True)
print("failed", outbox.stats().failure, flush=True)
outbox.close(20)
print("slowest", slowest_s, number - 1, flush=True)
"""


def put_under(store: Path, seconds: float, fault: str) -> list[str]:
    """Put answers for a while in a process whose disk has a fault; returns what it said."""
    require("strace", root=False)
    files = [word for suffix in ("", "-wal") for word in ("-P", f"{store}{suffix}")]
    # The interpreter itself, not a link that leads to it: strace counts for each process.
    command = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-o",
        "/dev/null",
        *files,
        "-e",
        f"inject=fdatasync,fsync:{fault}",
    ]
    child = [str(Path(sys.executable).resolve()), "-c", PUTTING, str(store), str(seconds)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([*command, *child], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def kept(store: Path) -> list[int]:
    outbox = Outbox.open(store, OutboxConfig())
    numbers = [int(label) for label in labels(outbox)]
    outbox.close()
    assert not list(store.parent.glob("*damaged*")), "the store was given up"
    return numbers


def test_a_sync_that_fails_is_no_commit_and_is_tried_again(tmp_path: Path) -> None:
    said = put_under(tmp_path / "outbox.sqlite", 2, "error=EIO:when=20..24")
    safe = max(int(line.split()[1]) for line in said if line.startswith("safe"))
    last = int(said[-1].split()[2])
    numbers = kept(tmp_path / "outbox.sqlite")
    assert safe > 30, "it did not recover"
    assert sorted(set(numbers)) == list(range(last + 1)), "lost, though the disk works again"
    assert numbers == sorted(numbers)


@pytest.mark.slow
def test_syncs_that_fail_for_good_are_never_taken_for_commits(tmp_path: Path) -> None:
    said = put_under(tmp_path / "outbox.sqlite", 2, "error=EIO:when=20+1")
    assert any(line.startswith("failed") and "the disk fails" in line for line in said)
    assert float(said[-1].split()[1]) < 0.5


@pytest.mark.slow
def test_a_sync_that_takes_three_seconds_delays_no_answer(tmp_path: Path) -> None:
    said = put_under(tmp_path / "outbox.sqlite", 10, "delay_enter=3000000:when=10..12")
    assert float(said[-1].split()[1]) < 0.5
    assert sorted(kept(tmp_path / "outbox.sqlite")) == list(range(int(said[-1].split()[2]) + 1))
