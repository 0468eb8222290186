"""Links that are slow, lossy or dead, and silent brokers: looking goes on, and everything arrives in order."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from brokers import Subscriber, eventually, mosquitto
from delivery import TOPICS, assert_in_order, change
from networks import FarBroker, far

from edge.config import MqttConfig, OutboxConfig
from edge.outbox import Outbox
from edge.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox.open(tmp_path / "outbox.sqlite", OutboxConfig(commit_wait_s=0.001))
    yield opened
    opened.close()


def settings(host: str, port: int, **changes: object) -> MqttConfig:
    return msgspec.structs.replace(MqttConfig(host=host, port=port, connect_timeout_s=2.0), **changes)


def speak(outbox: Outbox, count: int, rate_hz: float) -> float:
    """Say so much, and return how long the slowest took: what a watch would have lost."""
    slowest_s = 0.0
    for number in range(count):
        before_s = time.perf_counter()
        outbox.put(*change(str(number), watch=("gate", "bay")[number % 2]))
        slowest_s = max(slowest_s, time.perf_counter() - before_s)
        time.sleep(1 / rate_hz)
    return slowest_s


@pytest.mark.slow
def test_a_slow_link_does_not_slow_down_what_looks(outbox: Outbox, tmp_path: Path) -> None:
    with far() as end, FarBroker(end, tmp_path) as broker:
        end.slow("64kbit")  # eight kilobytes a second; ten events a second would need more
        publisher = Publisher(outbox, settings(end.address, broker.port), TOPICS)
        publisher.start()
        assert speak(outbox, 100, 20) < 0.05
        assert outbox.stats().pending > 0, "the link was not slow"
        end.slow("100mbit")
        with Subscriber(broker.port, host=end.address) as subscriber:
            eventually(lambda: outbox.stats().pending == 0, 60)
            publisher.stop()
            states = {each.topic: each.payload["label"] for each in subscriber.received if each.topic.endswith("state")}
        assert states == {TOPICS.state("gate"): "98", TOPICS.state("bay"): "99"}


@pytest.mark.slow
def test_a_lossy_link_keeps_the_order(outbox: Outbox, tmp_path: Path) -> None:
    with far() as end, FarBroker(end, tmp_path) as broker, Subscriber(broker.port, host=end.address) as subscriber:
        publisher = Publisher(outbox, settings(end.address, broker.port), TOPICS)
        publisher.start()
        eventually(lambda: publisher.connected)
        end.drop(10)
        assert speak(outbox, 200, 50) < 0.05
        eventually(lambda: outbox.stats().pending == 0, 120)
        end.heal()
        eventually(lambda: len({each["id"] for each in subscriber.payloads("/event")}) == 200, 30)
        publisher.stop()
        assert_in_order(subscriber.payloads("/event"))


@pytest.mark.slow
@pytest.mark.parametrize("waiting", [True, False], ids=["with something to say", "silent"])
def test_a_dead_link_is_noticed_within_twice_the_keepalive(outbox: Outbox, tmp_path: Path, waiting: bool) -> None:
    with far() as end, FarBroker(end, tmp_path) as broker:
        publisher = Publisher(outbox, settings(end.address, broker.port, keepalive_s=5), TOPICS)
        publisher.start()
        eventually(lambda: publisher.connected)
        time.sleep(1)
        end.drop(100)
        before_s = time.monotonic()
        if waiting:
            outbox.put(*change("said into the void"))
        eventually(lambda: not publisher.connected, 12)
        assert time.monotonic() - before_s <= 2 * 5 + 0.5
        end.heal()
        eventually(lambda: publisher.connected and outbox.stats().pending == 0, 30)
        publisher.stop()


def test_a_broker_that_never_answers_is_asked_now_and_then(
    outbox: Outbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        publisher = Publisher(outbox, settings("127.0.0.1", port, connect_timeout_s=0.5, version="5"), TOPICS)
        publisher.start()
        outbox.put(*change("open"))
        eventually(lambda: "did not answer within 0.5 s" in caplog.text)
        silent.setblocking(False)  # noqa: FBT003  that is its signature
        time.sleep(3)
        attempts = 0
        try:
            while True:
                silent.accept()[0].close()
                attempts += 1
        except BlockingIOError:
            pass
        assert 1 <= attempts <= 6
        assert caplog.text.count("did not answer") == 1, "the log is flooded"
    with mosquitto(tmp_path, port=port), Subscriber(port) as subscriber:
        eventually(lambda: subscriber.on("/event"), 30)
        publisher.stop()


def test_hostile_labels_are_payload_and_nothing_else(outbox: Outbox, tmp_path: Path) -> None:
    hostile = ["a/b", "+", "#", "nul\0nul", "x" * 10_000, "\u202egnp.exe", '"},{"label":"no"', "\ud800", ""]
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        publisher = Publisher(outbox, settings("127.0.0.1", broker.port), TOPICS)
        publisher.start()
        for label in hostile:
            outbox.put(*change(label))
        expressible = [label for label in hostile if label != "\ud800"]
        eventually(lambda: len(subscriber.on("/event")) == len(expressible))
        publisher.stop()
        assert [each["label"] for each in subscriber.payloads("/event")] == expressible
        assert {each.topic for each in subscriber.received} == {
            TOPICS.event("gate"), TOPICS.state("gate"), TOPICS.status,
        }  # fmt: skip
    assert outbox.stats().dropped["invalid"] == 2, "half a character cannot be written, and is counted"
