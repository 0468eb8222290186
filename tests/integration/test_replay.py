"""What comes later than live: at a limited rate, never in the way of what is live, and with the right time."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from brokers import Subscriber, eventually, mosquitto
from delivery import TOPICS, assert_in_order, change
from outboxes import Time

from edge.config import MqttConfig, OutboxConfig
from edge.messages import CameraStatusMessage, Clock, Model, StateMessage, changed, gap, utc
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.record import Loss, Post

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brokers import Broker

    from edge.record import ClockQuality

UNSET_S = 100.0
"""What the clock of a device without a battery says: seconds after 1970."""
TRUE_S = 1_790_000_000.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path) as running:
        yield running


def settings(port: int, **changes: object) -> MqttConfig:
    return msgspec.structs.replace(MqttConfig(host="127.0.0.1", port=port, connect_timeout_s=2.0), **changes)


def test_a_backlog_keeps_to_its_rate_and_a_live_state_does_not_wait_for_it(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    outbox = Outbox.open(path, OutboxConfig())
    for number in range(300):
        outbox.put(*change(str(number)))
    assert outbox.flush(10)
    outbox.close()
    outbox = Outbox.open(path, OutboxConfig())
    with Subscriber(broker.port) as subscriber:
        publisher = Publisher(outbox, settings(broker.port, replay_rate_hz=100), TOPICS)
        publisher.start()
        eventually(lambda: subscriber.on("/event"))
        began_s = time.monotonic()
        outbox.put(*change("now"))
        eventually(lambda: [each for each in subscriber.on("/state") if each.payload["label"] == "now"])
        assert time.monotonic() - began_s < 1.0
        assert len(subscriber.on("/event")) < 250
        eventually(lambda: len(subscriber.on("/event")) == 301, 20)
        assert time.monotonic() - began_s > 2.0
        publisher.stop()
        assert_in_order(subscriber.payloads("/event"))
    outbox.close()


class Device:
    """A device whose clock is wrong at first."""

    def __init__(self, path: Path, port: int, boot: str = "this boot") -> None:
        self.time = Time()
        self.time.clock_s, self.time.monotonic_s = UNSET_S, 50.0
        self.quality: ClockQuality = "unsynchronized"
        self.boot = boot
        self._port = port
        self._clocks = {"clock": self.time.clock, "monotonic": self.time.monotonic}
        self.outbox = Outbox.open(path, OutboxConfig(commit_wait_s=0.001), **self._clocks)

    def connect(self) -> None:
        self.publisher = Publisher(
            self.outbox, settings(self._port), TOPICS, quality=lambda: self.quality, boot=self.boot, **self._clocks
        )
        self.publisher.start()

    def see(self, label: str) -> None:
        clock = Clock(quality=self.quality, boot_id=self.boot, monotonic_s=self.time.monotonic_s)
        model = Model(name="gate", version="3")
        state = StateMessage(
            device="porch", watch="gate", camera="yard", kind="classify", label=label, score=0.5, clock=clock,
            model=model, captured_at=utc(self.time.clock_s),
        )  # fmt: skip
        self.outbox.put(*changed(TOPICS, state, previous=None))
        assert self.outbox.flush(10)

    def wait(self, seconds: float) -> None:
        self.time.clock_s += seconds
        self.time.monotonic_s += seconds

    def learn_the_time(self) -> None:
        self.time.clock_s = TRUE_S
        self.quality = "synchronized"

    def close(self) -> None:
        self.publisher.stop()
        self.outbox.close()


def test_what_was_seen_before_the_time_was_known_gets_the_right_time(broker: Broker, tmp_path: Path) -> None:
    device = Device(tmp_path / "outbox.sqlite3", broker.port)
    device.see("open")
    device.wait(60)
    device.see("closed")
    device.wait(40)
    device.learn_the_time()
    device.see("open again")
    with Subscriber(broker.port) as subscriber:
        device.connect()
        eventually(lambda: len(subscriber.on("/event")) == 3)
        first, second, third = subscriber.payloads("/event")
        device.close()
    assert [each["captured_at"] for each in (first, second, third)] == [
        utc(TRUE_S - 100),
        utc(TRUE_S - 40),
        utc(TRUE_S),
    ]
    assert [each["clock"]["corrected"] for each in (first, second, third)] == [True, True, False]
    assert first["clock"]["quality"] == "unsynchronized", "what was is not made up"
    assert first["clock"]["monotonic_s"] == 50.0
    assert first["replayed"] is True


def test_states_are_said_again_with_the_right_time_when_it_becomes_known(broker: Broker, tmp_path: Path) -> None:
    device = Device(tmp_path / "outbox.sqlite3", broker.port)
    with Subscriber(broker.port) as subscriber:
        device.connect()
        device.see("open")
        eventually(lambda: subscriber.on("/state"))
        [early] = subscriber.payloads("/state")
        assert early["captured_at"] == utc(UNSET_S)
        device.wait(30)
        device.learn_the_time()
        device.wait(2)
        eventually(lambda: len(subscriber.on("/state")) == 2)
        corrected = subscriber.payloads("/state")[1]
        eventually(lambda: subscriber.payloads("porch/status")[-1]["clock"]["quality"] == "synchronized")
        device.close()
    assert corrected["id"] == early["id"]
    assert datetime.fromisoformat(corrected["captured_at"]) == datetime.fromisoformat(utc(TRUE_S - 30))
    assert corrected["clock"]["corrected"] is True


def test_what_an_earlier_boot_saw_cannot_be_put_right_and_does_not_claim_to_be(broker: Broker, tmp_path: Path) -> None:
    before = Device(tmp_path / "outbox.sqlite3", broker.port, boot="an earlier boot")
    before.see("open")
    before.outbox.close()
    device = Device(tmp_path / "outbox.sqlite3", broker.port)
    device.learn_the_time()
    with Subscriber(broker.port) as subscriber:
        device.connect()
        eventually(lambda: subscriber.on("/event"))
        [event] = subscriber.payloads("/event")
        device.close()
    assert event["captured_at"] == utc(UNSET_S)
    assert event["clock"]["corrected"] is False


def test_a_clock_that_is_right_and_jumps_changes_nothing(broker: Broker, tmp_path: Path) -> None:
    """FAULTS 24: it is set by days while the device runs; what was stamped before stays as it was said."""
    device = Device(tmp_path / "outbox.sqlite3", broker.port)
    device.learn_the_time()
    device.see("open")
    device.time.clock_s -= 3 * 86_400
    device.wait(1)
    device.see("closed")
    with Subscriber(broker.port) as subscriber:
        device.connect()
        eventually(lambda: len(subscriber.on("/event")) == 2)
        device.close()
        first, second = subscriber.payloads("/event")
    assert first["captured_at"] == utc(TRUE_S)
    assert (first["sequence"], second["sequence"]) == (1, 2)
    assert second["clock"]["monotonic_s"] - first["clock"]["monotonic_s"] == 1.0
    assert not first["clock"]["corrected"]


def test_a_camera_status_is_put_right_and_a_gap_is_left_alone(broker: Broker, tmp_path: Path) -> None:
    device = Device(tmp_path / "outbox.sqlite3", broker.port)
    clock = Clock(quality="unsynchronized", boot_id=device.boot, monotonic_s=50.0)
    status = CameraStatusMessage(device="porch", camera="yard", status="live", since=utc(UNSET_S), clock=clock)
    device.outbox.put(Post(TOPICS.camera_status("yard"), status, retain=True))
    device.outbox.put(gap(TOPICS, Loss("full", 3, 10.0, 20.0, frozenset({TOPICS.event("gate")})), clock))
    assert device.outbox.flush(10)
    device.learn_the_time()
    with Subscriber(broker.port) as subscriber:
        device.connect()
        eventually(lambda: subscriber.on("/gap") and subscriber.on("yard/status"))
        [told], [camera] = subscriber.payloads("/gap"), subscriber.payloads("yard/status")
        device.close()
    assert camera["since"] == utc(TRUE_S)
    assert camera["clock"]["corrected"] is True
    assert (told["since"], told["until"], told["watches"]) == (utc(10.0), utc(20.0), ["gate"])
    assert told["clock"]["corrected"] is False
