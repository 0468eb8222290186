"""A daemon that hangs is found out by its silence, killed and started again; and no fault floods the log."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from brokers import Gate, Subscriber, eventually, free_port, mosquitto
from commands import COMMANDS
from delivery import without_repeats
from models import tiny_model

from edge.config import parse_config
from edge.daemon import STUCK_S, Daemon

WATCHDOG_S = 3.0


class Systemd:
    """As much of systemd as a service with a watchdog meets: it hears signs of life, and restarts what is silent."""

    def __init__(self, folder: Path, config: Path) -> None:
        self._folder = folder
        self._config = config
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._channel.bind(str(folder / "notify"))
        self.process = self._start()
        self.restarts = 0

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {"NOTIFY_SOCKET": str(self._folder / "notify"), "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
        with (self._folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [COMMANDS / "sightpost", "run", "--config", self._config], env=os.environ | environment, stderr=log
            )

    def expect(self, word: bytes, within_s: float) -> None:
        deadline_s = time.monotonic() + within_s
        while (remaining_s := deadline_s - time.monotonic()) > 0:
            self._channel.settimeout(remaining_s)
            try:
                if self._channel.recv(4096).startswith(word):
                    return
            except TimeoutError:
                break
        raise AssertionError(f"no {word!r} within {within_s:g} s: {(self._folder / 'log.txt').read_text()}")

    def watch(self, for_s: float) -> None:
        """Do what WatchdogSec= and Restart=always do, for a while."""
        deadline_s, heard_s = time.monotonic() + for_s, time.monotonic()
        self._channel.settimeout(0.1)
        while time.monotonic() < deadline_s:
            try:
                self._channel.recv(4096)
                heard_s = time.monotonic()
            except TimeoutError:
                if time.monotonic() - heard_s > WATCHDOG_S:
                    self.process.kill()
                    self.process.wait(10)
                    self.restarts += 1
                    self.process = self._start()
                    self.expect(b"READY=1", 60)
                    heard_s = time.monotonic()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self._channel.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[tuple[Systemd, Subscriber]]:
    tiny_model().write(tmp_path / "colors.tflite")
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        (tmp_path / "edge.toml").write_text(
            f'[device]\nid = "porch"\nstate_dir = "state"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
            '[cameras.yard]\nsource = "scene:gate"\nrate_hz = 10\nwidth_px = 64\nheight_px = 48\n'
            '[models.colors]\nfile = "colors.tflite"\n'
            '[watches.gate]\ncamera = "yard"\nmodel = "colors"\ninterval_s = 0\nanswers = true\n'
        )
        service = Systemd(tmp_path, tmp_path / "edge.toml")
        try:
            yield service, subscriber
        finally:
            service.stop()


def decoders(pid: int) -> list[int]:
    """The processes below one, its decoders among them."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *decoders(int(child))]
    return found


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_a_daemon_that_hangs_is_restarted_within_the_watchdogs_time(systemd: tuple[Systemd, Subscriber]) -> None:
    service, subscriber = systemd
    service.expect(b"READY=1", 60)
    service.expect(b"WATCHDOG=1", 5)
    eventually(lambda: len(subscriber.on("gate/answer")) > 5, 30)
    left = decoders(service.process.pid)
    assert left
    service.process.send_signal(signal.SIGSTOP)
    service.watch(2 * WATCHDOG_S + 2)
    assert service.restarts == 1
    restarted = len(subscriber.on("gate/answer"))
    eventually(lambda: len(subscriber.on("gate/answer")) > restarted + 5, 30)
    eventually(lambda: all(gone(pid) for pid in left), 15, "the decoders of the killed one are gone")
    answers = without_repeats(subscriber.payloads("gate/answer"))
    sequences = sorted(answer["sequence"] for answer in answers)
    assert sequences == list(range(sequences[0], sequences[-1] + 1)), "something that was committed is lost"


def test_one_thread_that_hangs_silences_the_signs_of_life_and_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = {
        "device": {"id": "porch", "state_dir": str(tmp_path)},
        "cameras": {"yard": {"source": "scene:gate"}},
        "models": {"m": {"file": "m.tflite"}},
        "watches": {"gate": {"camera": "yard", "model": "m"}},
    }
    alive: list[int] = []
    notifier = SimpleNamespace(alive=lambda: alive.append(1), watchdog_s=15.0)
    daemon = Daemon(parse_config(raw, where="test", base=tmp_path), notifier)  # type: ignore[arg-type]
    now_s = time.monotonic()
    daemon._publisher = SimpleNamespace(last_progress_s=now_s)  # type: ignore[assignment]
    daemon._observer = SimpleNamespace(last_progress_s=now_s)  # type: ignore[assignment]
    daemon._supervise()
    assert len(alive) == 1
    daemon._observer.last_progress_s = now_s - STUCK_S - 1
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            daemon._supervise()
    assert len(alive) == 1
    assert len(caplog.records) == 1
    assert "no progress for 31 s" in caplog.text


@pytest.mark.slow
def test_faults_that_repeat_do_not_flood_the_log(tmp_path: Path) -> None:
    """A camera that is not there, a broker that comes and goes, and commands that make no sense."""
    tiny_model().write(tmp_path / "colors.tflite")
    with mosquitto(tmp_path) as broker, Gate(broker.port) as gate, Subscriber(broker.port) as subscriber:
        (tmp_path / "edge.toml").write_text(
            f'[device]\nid = "porch"\nstate_dir = "state"\n'
            f'[mqtt]\nhost = "127.0.0.1"\nport = {gate.port}\nreconnect_max_s = 0.2\n[commands]\nallow = ["look"]\n'
            f'[cameras.yard]\nsource = "http://127.0.0.1:{free_port()}/stream"\n'
            '[models.colors]\nfile = "colors.tflite"\n'
            '[watches.gate]\ncamera = "yard"\nmodel = "colors"\n'
        )
        with (tmp_path / "log.txt").open("wb") as log:
            process = subprocess.Popen([COMMANDS / "sightpost", "run", "--config", tmp_path / "edge.toml"], stderr=log)
        for _ in range(12):
            online = len(subscriber.on("porch/status"))
            gate.open()
            eventually(lambda known=online: len(subscriber.on("porch/status")) > known, 60)  # type: ignore[misc]
            for number in range(20):
                subscriber._client.publish(f"sightpost/porch/cmd/nonsense{number}", b"[1]", qos=1)
            eventually(lambda: subscriber.on("cmd/response"), 10)
            gate.shut()
        process.terminate()
        process.wait(30)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert len(lines) < 20, "\n".join(lines)
    assert any("is no command" in line for line in lines), "the test had nothing to show"
