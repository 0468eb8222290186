"""What a broker does not take is set aside with the reason, whatever way it has to say so; the rest flows."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import deque
from typing import TYPE_CHECKING, Literal, cast

import msgspec
import pytest
from brokers import Gate, Subscriber, eventually, mosquitto
from delivery import TOPICS, assert_in_order, change

from edge.config import MqttConfig, OutboxConfig
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.publisher.delivery import Delivery
from edge.publisher.dialect import Plain
from edge.publisher.misfits import Misfits
from edge.publisher.pace import Pace
from edge.publisher.session import Ack, Notice, Session
from edge.publisher.timekeeper import Timekeeper
from edge.record import Post
from edge.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Version = Literal["5", "3.1.1"]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox.open(tmp_path / "outbox.sqlite3", OutboxConfig(commit_wait_s=0.001))
    yield opened
    opened.close()


def settings(port: int, **changes: object) -> MqttConfig:
    return msgspec.structs.replace(MqttConfig(host="127.0.0.1", port=port, connect_timeout_s=2.0), **changes)


def dead_letters(path: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(path) as reader:
        rows = reader.execute("SELECT topic, reason FROM dead_letters ORDER BY number").fetchall()
    reader.close()
    return rows


@pytest.mark.parametrize(
    ("limit", "version", "words"),
    [
        ("max_packet_size", "3.1.1", "hung up 3 times"),
        ("max_packet_size", "5", "larger than the 20000 bytes"),
        ("message_size_limit", "5", "hung up 3 times"),
    ],
)
@pytest.mark.parametrize("kind", ["event", "state"])
def test_what_a_broker_does_not_take_is_set_aside_and_the_rest_flows(
    outbox: Outbox, tmp_path: Path, kind: str, limit: str, version: Version, words: str
) -> None:
    retain = kind == "state"
    huge = Post("sightpost/porch/gate/image", json.dumps({"picture": "x" * 30_000}).encode(), retain=retain)
    for number in range(30):
        outbox.put(*change(f"before {number}"))
    outbox.put(huge)
    for number in range(30):
        outbox.put(*change(f"after {number}"))
    with mosquitto(tmp_path, f"{limit} 20000") as broker, Subscriber(broker.port) as subscriber:
        publisher = Publisher(outbox, settings(broker.port, version=version), TOPICS)
        publisher.start()
        eventually(lambda: outbox.flush(1) and outbox.stats().pending == 0 and outbox.stats().refused == 1, 30)
        eventually(lambda: "after 29" in [payload["label"] for payload in subscriber.payloads("/event")])
        assert_in_order(subscriber.payloads("/event"))
        connections = len([each for each in subscriber.payloads("porch/status") if each["status"] == "online"])
        outbox.put(*change("still well"))
        eventually(lambda: "still well" in [payload["label"] for payload in subscriber.payloads("/event")])
        publisher.stop()
    [(topic, reason)] = dead_letters(tmp_path / "outbox.sqlite3")
    assert topic == huge.topic
    assert words in reason
    assert connections <= 9  # three hang-ups, and a few more until it is alone with it


def test_a_state_that_a_broker_hung_up_on_is_not_said_again_after_the_next_connection(
    outbox: Outbox, tmp_path: Path
) -> None:
    outbox.put(Post("sightpost/porch/gate/image", json.dumps({"picture": "x" * 30_000}).encode(), retain=True))
    with mosquitto(tmp_path, "max_packet_size 20000") as broker, Gate(broker.port) as gate:
        publisher = Publisher(outbox, settings(gate.port, version="3.1.1"), TOPICS)
        publisher.start()
        eventually(lambda: outbox.flush(1) and outbox.stats().refused == 1, 30)
        with Subscriber(broker.port) as subscriber:
            gate.shut()
            gate.open()
            eventually(lambda: [each for each in subscriber.on("porch/status") if not each.retain])
            outbox.put(*change("open"))
            eventually(lambda: subscriber.on("gate/event"))
            time.sleep(0.5)
            assert publisher.connected
            assert outbox.stats().refused == 1
        publisher.stop()


def test_a_broker_that_comes_and_goes_is_no_reason_to_give_up_on_a_message(outbox: Outbox, tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, Gate(broker.port) as gate, Subscriber(broker.port) as subscriber:
        publisher = Publisher(outbox, settings(gate.port, reconnect_max_s=0.3), TOPICS)
        publisher.start()
        for round_ in range(6):
            for number in range(50):
                outbox.put(*change(f"{round_}:{number}"))
            gate.shut()
            time.sleep(0.05)
            gate.open()
            eventually(lambda: publisher.connected)
        eventually(lambda: len({payload["id"] for payload in subscriber.payloads("/event")}) == 300, 30)
        publisher.stop()
    assert outbox.stats().refused == 0


class Moody:
    """A session whose broker refuses what it is sent for the first so many times, for a reason that passes."""

    def __init__(self, refusals: int) -> None:
        self.window, self.max_packet_bytes, self.end_code = 20, 268_435_455, None
        self.sent: list[bytes] = []
        self._refusals = refusals
        self._acks: deque[Ack] = deque()

    def publish(self, notice: Notice) -> int:
        self.sent.append(notice.payload)
        refused = len(self.sent) <= self._refusals
        self._acks.append(Ack(len(self.sent), "Quota exceeded" if refused else None, transient=refused))
        return len(self.sent)

    def acks(self) -> list[Ack]:
        acks = list(self._acks)
        self._acks.clear()
        return acks


def sender(outbox: Outbox, moody: Moody, clock: Callable[[], float]) -> Delivery:
    return Delivery(
        outbox,
        cast("Session", moody),
        dialect=Plain(TOPICS),
        misfits=Misfits(20),
        pace=Pace(0, 0.0),
        timekeeper=Timekeeper(clock, clock, lambda: "unknown", ""),
        monotonic=clock,
        throttle=Throttle(),
    )


@pytest.mark.parametrize(("refusals", "delivered", "refused"), [(3, 2, 0), (5, 1, 1)])
def test_a_refusal_that_may_pass_is_tried_again_for_a_while(
    outbox: Outbox, refusals: int, delivered: int, refused: int
) -> None:
    now_s = 0.0
    outbox.put(Post("sightpost/porch/gate/event", b"first"))
    assert outbox.flush(10)
    moody = Moody(refusals)
    delivery = sender(outbox, moody, lambda: now_s)
    delivery.fill()
    outbox.put(Post("sightpost/porch/gate/event", b"second"))
    assert outbox.flush(10)
    delivery.look()
    for _ in range(2000):
        delivery.settle(moody.acks())
        if delivery.idle:
            break
        rest_s = delivery.fill()
        now_s += rest_s if rest_s != float("inf") else 0.0
    assert moody.sent == [b"first"] * min(refusals + 1, 5) + [b"second"], "the second one overtook the first"
    delivery.finish()
    assert 7.0 <= now_s <= 16.0
    assert outbox.flush(10)
    assert (outbox.stats().delivered, outbox.stats().refused) == (delivered, refused)


def test_a_state_that_was_refused_for_a_while_never_replaces_a_newer_one(outbox: Outbox) -> None:
    now_s = 0.0
    topic = "sightpost/porch/gate/state"
    outbox.put(Post(topic, b"old", retain=True))
    assert outbox.flush(10)
    moody = Moody(refusals=1)
    delivery = sender(outbox, moody, lambda: now_s)
    delivery.fill()
    delivery.settle(moody.acks())
    outbox.put(Post(topic, b"new", retain=True))
    outbox.put(Post("sightpost/porch/gate/event", b"event"))
    assert outbox.flush(10)
    delivery.look()
    for _ in range(20):
        delivery.fill()
        delivery.settle(moody.acks())
        now_s += 1.0
    assert moody.sent == [b"old", b"new", b"event"]
    assert delivery.idle
