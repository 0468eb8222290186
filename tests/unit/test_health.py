"""What systemd hears."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from edge.health import Notifier


@pytest.fixture
def systemd(tmp_path: Path) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.bind(str(tmp_path / "notify"))
    channel.settimeout(1)
    return channel


def test_it_tells_systemd_how_it_is(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname()})
    notifier.ready()
    notifier.alive()
    notifier.stopping()
    assert [systemd.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]
    systemd.close()


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0sightpost-test-notify")
        channel.settimeout(1)
        Notifier({"NOTIFY_SOCKET": "@sightpost-test-notify"}).ready()
        assert channel.recv(100) == b"READY=1"


def test_a_systemd_that_does_not_hear_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).alive()
    assert "systemd does not hear WATCHDOG=1" in caplog.text


def test_without_systemd_it_says_nothing() -> None:
    notifier = Notifier({})
    notifier.ready()
    assert notifier.watchdog_s is None


def test_a_sign_of_life_is_due_twice_as_often_as_systemd_asks() -> None:
    environment = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    assert Notifier(environment).watchdog_s == 15.0
    assert Notifier({**environment, "WATCHDOG_PID": "1"}).watchdog_s is None, "meant for another process"


def test_a_systemd_that_never_hears_does_not_fill_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    for _ in range(100):
        notifier.alive()
    assert len(caplog.records) == 1
