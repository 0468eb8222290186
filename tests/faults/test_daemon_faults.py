"""The daemon is killed, starved of memory or told to stop, and its broker killed: nothing that was stored is lost.

SIGHTPOST_KILLS says how often the slow ones kill the daemon (100) and, a fifth of that, the broker.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from brokers import Broker, Subscriber, eventually, free_port, mosquitto
from daemons import Daemon
from delivery import assert_in_order, without_repeats
from disks import require

KILLS = int(os.environ.get("SIGHTPOST_KILLS", "20"))
DEPLOYED = Path(__file__).parents[2] / "deploy" / "broker" / "mosquitto.conf"


class Lasting(Subscriber):
    """A subscriber whose session lasts: what it misses is kept for it."""

    def _new_client(self) -> mqtt.Client:
        return mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "lasting", clean_session=False)


def deployed(folder: Path) -> Broker:
    """The broker of deploy/broker on a port of ours."""
    lines = [line for line in DEPLOYED.read_text().splitlines() if line and not line.startswith(("#", "listener"))]
    return mosquitto(folder, *lines, f"persistence_location {folder}/", queued=False)


def highest(store: Path) -> int:
    """The number of the last event that was stored."""
    reader = sqlite3.connect(store)
    try:
        if not reader.execute("SELECT 1 FROM sqlite_master").fetchone():
            return 0
        row = reader.execute("SELECT last FROM sequences WHERE topic = 'sightpost/porch/gate/event'").fetchone()
        return 0 if row is None else int(row[0])
    finally:
        reader.close()


def assert_all_came(subscriber: Subscriber, store: Path) -> int:
    """Every event that was ever stored has come, in order, under one id; returns how many these are."""
    count = highest(store)
    eventually(lambda: len({each["id"] for each in subscriber.payloads("/event")}) >= count, 60, "all events have come")
    events = subscriber.payloads("/event")
    assert_in_order(events)
    assert len(without_repeats(events)) == count
    assert len({each["epoch"] for each in events}) == 1, "the store was given up"
    return count


@pytest.mark.parametrize("kills", [2, pytest.param(KILLS, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_daemon_that_is_killed_again_and_again_loses_nothing(tmp_path: Path, kills: int) -> None:
    chance = random.Random(9)
    with deployed(tmp_path) as broker, Lasting(broker.port, qos=1) as subscriber:
        daemon = Daemon(tmp_path, broker.port)
        for _ in range(kills):
            before = len(subscriber.on("/event"))
            daemon.start()
            # Some of them while it starts, most when it has something to say.
            if chance.random() < 0.8:
                eventually(lambda before=before: len(subscriber.on("/event")) > before, 60)
            time.sleep(chance.uniform(0.0, 1.0))
            daemon.kill()
        with daemon:
            daemon.wait_until("is looking")
            eventually(lambda: subscriber.payloads("/event")[-1:] and not subscriber.payloads("/event")[-1]["replayed"])
            assert daemon.stop() == 0
        count = assert_all_came(subscriber, daemon.store)
    assert count > kills // 4, "killed too early to show anything"
    print(f"{kills} kills of the daemon, {count} events: 0 lost, 0 out of order")


@pytest.mark.parametrize("kills", [1, pytest.param(KILLS // 5, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_broker_that_is_killed_again_and_again_loses_nothing(tmp_path: Path, kills: int) -> None:
    chance = random.Random(12)
    broker = deployed(tmp_path)
    with (
        broker,
        Lasting(broker.port, qos=1) as subscriber,
        Daemon(tmp_path, broker.port, mqtt="reconnect_max_s = 1") as daemon,
    ):
        for _ in range(kills):
            before = len(subscriber.on("/event"))
            eventually(lambda before=before: len(subscriber.on("/event")) > before + 5, 60)
            time.sleep(chance.uniform(0.0, 0.5))
            broker.kill()
            time.sleep(chance.uniform(0.0, 1.0))
            broker.start()
            subscriber.wait_until_subscribed()
        before = len(subscriber.on("/event"))
        eventually(lambda: len(subscriber.on("/event")) > before + 5, 60)
        assert daemon.stop() == 0
        count = assert_all_came(subscriber, daemon.store)
    print(f"{kills} kills of the broker, {count} events: 0 lost, 0 out of order")


def test_sigterm_with_a_backlog_and_no_broker_ends_it_at_once(tmp_path: Path) -> None:
    port = free_port()
    with Daemon(tmp_path, port) as daemon:
        daemon.wait_until("Answers are kept")
        eventually(lambda: daemon.store.exists() and highest(daemon.store) > 10, 90)
        before_s = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - before_s < 5
        count = highest(daemon.store)
        with mosquitto(tmp_path, port=port) as broker, Subscriber(broker.port) as subscriber, daemon:
            eventually(lambda: len(subscriber.on("/event")) >= count, 30)
            assert daemon.stop() == 0
            assert_all_came(subscriber, daemon.store)


@pytest.mark.slow
def test_sigterm_while_a_backlog_is_sent_loses_nothing(tmp_path: Path) -> None:
    port = free_port()
    with Daemon(tmp_path, port, rate_hz=60, mqtt="replay_rate_hz = 20") as daemon:
        eventually(lambda: daemon.store.exists() and highest(daemon.store) > 400, 120)
        with mosquitto(tmp_path, port=port) as broker, Lasting(broker.port, qos=1) as subscriber:
            eventually(lambda: len(subscriber.on("/event")) > 20, 60)
            before_s = time.monotonic()
            assert daemon.stop() == 0
            assert time.monotonic() - before_s < 20
            daemon.config.write_text(daemon.config.read_text().replace("replay_rate_hz = 20", "replay_rate_hz = 0"))
            daemon.start()
            eventually(lambda: not subscriber.payloads("/event")[-1]["replayed"], 60)
            assert daemon.stop() == 0
            assert_all_came(subscriber, daemon.store)


HOG = """
import os, pathlib, sys
pathlib.Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
eaten = []
while not os.path.exists(sys.argv[2]):
    eaten.append(bytearray(os.urandom(1 << 20)))
"""


@pytest.mark.slow
def test_one_that_runs_out_of_memory_comes_back_and_loses_nothing(tmp_path: Path) -> None:
    """Something eats the memory that both may have, and the kernel ends the daemon; here the test starts it again."""
    require("mount")
    group = Path(f"/sys/fs/cgroup/memory/sightpost-{os.getpid()}")
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text("400000000")
    except OSError:
        pytest.skip("there is no memory controller of cgroup version 1 here, or it is not ours")
    within = ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "within"]
    try:
        with (
            deployed(tmp_path) as broker,
            Lasting(broker.port, qos=1) as subscriber,
            Daemon(tmp_path, broker.port, prefix=within) as daemon,
        ):
            eventually(lambda: len(subscriber.on("/event")) > 10, 90)
            assert daemon.process is not None
            Path(f"/proc/{daemon.process.pid}/oom_score_adj").write_text("1000")  # it is the one to go
            full = tmp_path / "full"
            hog = subprocess.Popen([sys.executable, "-c", HOG, group, full])
            assert daemon.process.wait(90) == -9
            full.touch()
            hog.kill()
            hog.wait()
            before = len(subscriber.on("/event"))
            daemon.start()
            eventually(lambda: len(subscriber.on("/event")) > before, 90)
            assert daemon.stop() == 0
            assert_all_came(subscriber, daemon.store)
    finally:
        eventually(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()
    unit = (Path(__file__).parents[2] / "systemd" / "sightpost.service").read_text()
    assert "Restart=always" in unit
    assert "RestartSec=2" in unit


def months(events: list[dict[str, Any]]) -> set[str]:
    return {each["captured_at"][:7] for each in events}


@pytest.mark.slow
def test_a_wall_clock_that_jumps_by_days_disturbs_nothing(tmp_path: Path) -> None:
    require("faketime", root=False)
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("libfaketime is not installed")
    now = tmp_path / "now"
    now.write_text("+0")
    environment = os.environ | {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(now),
        "FAKETIME_CACHE_DURATION": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with (
        mosquitto(tmp_path) as broker,
        Subscriber(broker.port) as subscriber,
        # As fast as it is answered: under libfaketime a camera that waits for its next frame would never wake.
        Daemon(tmp_path, broker.port, camera='pace = "fast"', environment=environment) as daemon,
    ):
        for number, jump in enumerate(("+0", "-40d", "+400d"), 1):
            now.write_text(jump)
            eventually(lambda number=number: len(months(subscriber.payloads("/event"))) == number, 60)
            before = len(subscriber.on("/event"))
            eventually(lambda before=before: len(subscriber.on("/event")) > before + 20)
        assert daemon.stop() == 0
        events = subscriber.payloads("/event")
        assert_all_came(subscriber, daemon.store)
    moments = [each["clock"]["monotonic_s"] for each in events]
    assert moments == sorted(moments)
    assert len({each["clock"]["boot_id"] for each in events}) == 1
