"""Between an answer and its subscriber anything may break; what was committed arrives."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from brokers import Gate, Subscriber, eventually, mosquitto
from delivery import TOPICS, assert_in_order, change, without_repeats

from edge.config import MqttConfig, OutboxConfig
from edge.outbox import Outbox
from edge.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.record import Record

KILLS = int(os.environ.get("SIGHTPOST_KILLS", "20"))
ANSWERING = Path(__file__).parent.parent / "answering.py"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite3"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    opened = Outbox.open(path, OutboxConfig(commit_wait_s=0.001))
    yield opened
    opened.close()


def settings(port: int, **changes: object) -> MqttConfig:
    return msgspec.structs.replace(MqttConfig(host="127.0.0.1", port=port, connect_timeout_s=2.0), **changes)


def stored(outbox: Outbox) -> list[dict[str, Any]]:
    records: list[Record] = []
    while more := outbox.events(records[-1] if records else None, limit=1000):
        records += more
    return [json.loads(record.payload) for record in records]


def answer_until_killed(path: Path, run: int, port: int, delay_s: float) -> int:
    """Let a process answer, kill it after a while and return the number of the last answer that it knew was safe."""
    process = subprocess.Popen(
        [sys.executable, ANSWERING, path, str(run), str(port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(delay_s)
    process.kill()
    said, _ = process.communicate()
    return max((int(line) for line in said.splitlines(keepends=True) if line.endswith("\n")), default=-1)


def assert_all_there(labels: set[str], run: int, last_safe: int) -> None:
    missing = {f"{run}:{number}" for number in range(last_safe + 1)} - labels
    assert not missing, f"run {run}: committed and lost: {sorted(missing)[:5]}"


def test_a_kill_at_any_instant_loses_nothing_that_was_committed(path: Path) -> None:
    chance = random.Random(25)
    safe = [answer_until_killed(path, run, 0, chance.uniform(0, 0.15)) for run in range(25)]
    assert sum(last >= 0 for last in safe) > 10, "killed too early to show anything"
    outbox = Outbox.open(path, OutboxConfig())
    payloads = stored(outbox)
    states = {state.topic: json.loads(state.payload) for state in outbox.states(only_dirty=True)}
    outbox.close()
    labels = [payload["label"] for payload in payloads]
    for run, last_safe in enumerate(safe):
        assert_all_there(set(labels), run, last_safe)
        numbers = [int(label.split(":")[1]) for label in labels if label.startswith(f"{run}:")]
        assert numbers == list(range(len(numbers))), "not in order"
    assert len({payload["epoch"] for payload in payloads}) == 1, "the store was given up"
    assert_in_order(payloads)
    for watch in ("gate", "bay"):  # the state and its event were committed together
        newest = [payload for payload in payloads if payload["watch"] == watch][-1]
        assert states[f"sightpost/porch/{watch}/state"]["label"] == newest["label"]


@pytest.mark.parametrize("kills", [5, pytest.param(KILLS, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_kill_while_publishing_loses_nothing_and_doubles_nothing_under_another_id(
    path: Path, tmp_path: Path, kills: int
) -> None:
    chance = random.Random(12)
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        safe = [answer_until_killed(path, run, broker.port, chance.uniform(0.05, 0.4)) for run in range(kills)]
        eventually(
            lambda: subscriber.payloads("porch/status")[-1:] and subscriber.payloads("porch/status")[-1]["reason"]
        )
        assert subscriber.payloads("porch/status")[-1]["reason"] == "connection lost"
        delivered_before = len(without_repeats(subscriber.payloads("/event")))
        outbox = Outbox.open(path, OutboxConfig())
        publisher = Publisher(outbox, settings(broker.port, replay_rate_hz=0), TOPICS)
        publisher.start()
        eventually(lambda: outbox.stats().pending == 0, 200)
        publisher.stop()
        outbox.close()
        eventually(lambda: subscriber.payloads("porch/status")[-1]["reason"] == "stopped")
        payloads = subscriber.payloads("/event")
    assert delivered_before > 0, "killed too early to show anything"
    for run, last_safe in enumerate(safe):
        assert_all_there({payload["label"] for payload in payloads}, run, last_safe)
    assert_in_order(payloads)
    print(f"{kills} kills while publishing, {sum(last + 1 for last in safe)} known to be safe: 0 lost, 0 out of order")


def test_a_broker_that_is_killed_in_mid_stream_costs_nothing(outbox: Outbox, tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, Gate(broker.port) as gate, Subscriber(broker.port) as subscriber:
        publisher = Publisher(outbox, settings(gate.port, reconnect_max_s=0.5), TOPICS)
        publisher.start()
        for kill in range(3):
            for number in range(1000):
                outbox.put(*change(f"{kill}:{number}", watch=("gate", "bay")[number % 2]))
            enough = len(subscriber.on("/event")) + 100
            while len(subscriber.on("/event")) < enough:
                time.sleep(0.001)
            broker.kill()
            gate.shut()
            broker.start()
            subscriber.wait_until_subscribed()
            gate.open()
        eventually(lambda: outbox.stats().pending == 0, 30)
        publisher.stop()
        eventually(lambda: len(without_repeats(subscriber.payloads("/event"))) == 3000)
        assert_in_order(subscriber.payloads("/event"))


def test_a_connection_that_is_dead_but_looks_alive_is_noticed(
    outbox: Outbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with mosquitto(tmp_path) as broker, Gate(broker.port) as gate, Subscriber(broker.port) as subscriber:
        publisher = Publisher(outbox, settings(gate.port, keepalive_s=5), TOPICS)
        publisher.start()
        eventually(lambda: publisher.connected)
        gate.freeze()
        outbox.put(*change("said into the void"))
        eventually(lambda: not publisher.connected, 2 * 5 + 2)
        gate.shut()
        gate.open()
        eventually(lambda: subscriber.on("/event"))
        publisher.stop()
    assert "is gone" in caplog.text


def test_two_devices_with_one_name_do_not_hammer_the_broker(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        outboxes = [Outbox.open(tmp_path / name / "outbox.sqlite3", OutboxConfig()) for name in ("one", "other")]
        publishers = [Publisher(outbox, settings(broker.port), TOPICS) for outbox in outboxes]
        for publisher in publishers:
            publisher.start()
        eventually(lambda: "does another device have the same device.id" in caplog.text)
        time.sleep(4)
        connections = [status for status in subscriber.payloads("porch/status") if status["status"] == "online"]
        assert len(connections) < 20
        for publisher in publishers:
            publisher.stop()
        for outbox in outboxes:
            outbox.close()


def test_a_fault_in_this_program_does_not_end_publishing(
    outbox: Outbox, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [RuntimeError("injected")]
    delivered = outbox.delivered

    def faulty(record: Record) -> None:
        if faults:
            raise faults.pop()
        delivered(record)

    monkeypatch.setattr(outbox, "delivered", faulty)
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        publisher = Publisher(outbox, settings(broker.port), TOPICS)
        publisher.start()
        outbox.put(*change("open"))
        eventually(lambda: outbox.stats().committed and outbox.stats().pending == 0)
        outbox.put(*change("closed"))
        eventually(lambda: "closed" in [payload["label"] for payload in subscriber.payloads("/event")])
        publisher.stop()
    assert "injected" in caplog.text


def test_a_disk_that_refuses_to_write_costs_nothing_when_it_recovers(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file size limit makes every write beyond it fail, as a failing disk does."""
    outbox = Outbox.open(path, OutboxConfig(commit_wait_s=0.001))
    outbox.put(*change("before"))
    assert outbox.flush(10)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        slowest_s = 0.0
        for number in range(100):
            before_s = time.perf_counter()
            outbox.put(*change(str(number)))
            slowest_s = max(slowest_s, time.perf_counter() - before_s)
        eventually(lambda: outbox.stats().failure is not None)
        assert not outbox.flush(0.5), "said to be committed when it cannot be"
        assert slowest_s < 0.5
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outbox.flush(20)
    assert outbox.stats().failure is None
    payloads = stored(outbox)
    outbox.close()
    assert [payload["label"] for payload in payloads] == ["before", *map(str, range(100))]
    assert_in_order(payloads)
    assert caplog.text.count("Answers wait in memory") <= 3, "the log is flooded"
