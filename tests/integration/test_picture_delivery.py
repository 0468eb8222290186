"""Pictures on the way to a subscriber: after everything else, the newest of each watch, and not said again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from brokers import Broker, eventually, mosquitto
from delivery import TOPICS, change
from paho.mqtt.enums import CallbackAPIVersion

from edge.config import MqttConfig, OutboxConfig
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.record import Post


class Viewer:
    """Remembers topics, payloads and the retain flag of all that goes by from when it is there: it is subscribed."""

    def __init__(self, port: int) -> None:
        subscribed = threading.Event()
        self.seen: list[tuple[str, bytes, bool]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("sightpost/porch/+/+", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _client, _userdata, message: self.seen.append(
            (message.topic.removeprefix("sightpost/porch/"), message.payload, message.retain)
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(10)

    def topics(self) -> list[str]:
        return [topic for topic, _, _ in list(self.seen)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox.open(tmp_path / "outbox.sqlite3", OutboxConfig(commit_wait_s=0.001))
    yield opened
    opened.close()


def picture(content: bytes, watch: str = "gate") -> Post:
    return Post(TOPICS.image(watch), b"\xff\xd8" + content, retain=True)


def test_pictures_go_after_everything_else_and_only_the_newest(outbox: Outbox, broker: Broker) -> None:
    for number in range(300):
        outbox.put(*change(f"{number}"))
        outbox.put(picture(b"%d" % number + b"x" * 20_000))
        outbox.put(picture(b"%d" % number, "bay"))
    outbox.flush(10)
    assert outbox.stats().pending == 300, "pictures fill no queue"
    viewer = Viewer(broker.port)
    publisher = Publisher(outbox, MqttConfig(host="127.0.0.1", port=broker.port), TOPICS)
    publisher.start()
    eventually(lambda: {"gate/image", "bay/image"} <= set(viewer.topics()), 30)
    topics = viewer.topics()
    assert topics[-2:] in (["gate/image", "bay/image"], ["bay/image", "gate/image"])
    assert topics.count("gate/event") == 300
    assert {topic: payload for topic, payload, _ in viewer.seen}["gate/image"][2:5] == b"299"
    outbox.put(*change("now"))
    outbox.put(picture(b"now"))
    eventually(lambda: viewer.seen[-1][1] == b"\xff\xd8now")
    publisher.stop()
    late = Viewer(broker.port)
    eventually(lambda: late.topics().count("gate/image") == 1)
    assert [(payload, retain) for topic, payload, retain in late.seen if topic == "gate/image"] == [
        (b"\xff\xd8now", True)
    ]
    viewer.close()
    late.close()


def test_a_picture_that_was_taken_is_not_said_again_after_a_reconnection(outbox: Outbox, broker: Broker) -> None:
    viewer = Viewer(broker.port)
    for _ in range(2):
        outbox.put(*change("open"))
        publisher = Publisher(outbox, MqttConfig(host="127.0.0.1", port=broker.port), TOPICS)
        outbox.put(picture(b"once")) if "gate/image" not in viewer.topics() else None
        assert outbox.flush(10), "before that nothing counts as pending"
        publisher.start()
        eventually(lambda: "gate/image" in viewer.topics() and not outbox.stats().pending)
        publisher.stop()
    assert viewer.topics().count("gate/image") == 1
    assert viewer.topics().count("gate/state") >= 2
    viewer.close()
