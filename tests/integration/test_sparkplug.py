"""An edge node of Sparkplug B, as a host application sees it over a real broker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from brokers import Broker, Gate, eventually, mosquitto
from delivery import TOPICS, change
from hosts import REBIRTH, Host

from edge.config import MqttConfig, OutboxConfig, SparkplugConfig
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.record import Post
from edge.sparkplug import ConnectionCounter, Node

Start = Callable[..., Publisher]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox.open(tmp_path / "outbox.sqlite3", OutboxConfig(commit_wait_s=0.001))
    yield opened
    opened.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def start(outbox: Outbox, tmp_path: Path) -> Iterator[Start]:
    started: list[Publisher] = []

    def start(port: int, *, host: str | None = None, **changes: Any) -> Publisher:
        settings = msgspec.structs.replace(
            MqttConfig(host="127.0.0.1", port=port, connect_timeout_s=2.0, reconnect_max_s=0.5), **changes
        )
        node = Node(
            SparkplugConfig(group_id="plant 1", primary_host_id=host),
            TOPICS,
            watches=("gate", "bay"),
            cameras=("yard",),
            states=lambda: outbox.states(only_dirty=False),
            connections=ConnectionCounter(tmp_path / "connections"),
        )
        started.append(Publisher(outbox, settings, TOPICS, dialect=node))
        started[-1].start()
        return started[-1]

    yield start
    for publisher in started:
        publisher.stop(drain_timeout_s=0)


def assert_sequence(host: Host) -> None:
    """Each birth begins at 0, and every message after it counts one more, round at 256."""
    expected = 0
    for each in list(host.told):
        if each.kind == "NDEATH":
            assert each.seq is None
            continue
        expected = 0 if each.kind == "NBIRTH" else expected
        assert each.seq == expected, host.kinds()
        expected = (expected + 1) % 256


def empty(outbox: Outbox) -> bool:
    return outbox.stats().pending == 0 and outbox.stats().waiting == 0


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_birth_introduces_every_metric_and_each_change_is_said_once(
    outbox: Outbox, start: Start, broker: Broker, version: str
) -> None:
    with Host(broker.port) as host:
        start(broker.port, version=version)
        [birth] = eventually(lambda: host.of("NBIRTH"))
        assert birth.values["bdSeq"] == 0
        assert birth.values["Node Control/Rebirth"] is False
        assert birth.values["gate/label"] is birth.values["gate/score"] is birth.values["camera/yard/status"] is None
        for label in ("open", "zu \N{SNOWMAN}", "open"):
            outbox.put(*change(label))
        eventually(lambda: len(host.labels()) == 3 and empty(outbox))
        assert host.labels() == ["open", "zu \N{SNOWMAN}", "open"]
        assert not any(each.historical for each in host.told)
        assert {name for each in host.of("NDATA") for name in each.values} <= birth.values.keys()
        assert_sequence(host)
        assert host.other_topics == []


def test_what_happened_while_the_broker_was_away_is_told_in_order_as_history(
    outbox: Outbox, start: Start, broker: Broker
) -> None:
    posts = [change(str(number)) for number in range(50)]
    for each in posts:
        outbox.put(*each)
    outbox.flush(10)
    with Host(broker.port) as host:
        start(broker.port)
        eventually(lambda: len(host.labels()) == 50 and empty(outbox))
        [birth] = host.of("NBIRTH")
        assert birth.values["gate/label"] == "49", "what holds now is told first"
        assert host.labels() == [str(number) for number in range(50)]
        told = [each for each in host.of("NDATA") if "gate/label" in each.values]
        assert all(each.historical == {"gate/label", "gate/score"} for each in told)
        captured = [datetime.fromisoformat(event.message.captured_at).timestamp() for _, event in posts]  # type: ignore[union-attr]
        assert [each.times_ms["gate/label"] for each in told] == [round(1000 * when) for when in captured]
        outbox.put(*change("now"))
        eventually(lambda: host.labels()[-1] == "now")
        assert not host.of("NDATA")[-1].historical
        assert_sequence(host)


def test_a_lost_connection_is_a_death_and_the_next_one_has_another_number(
    outbox: Outbox, start: Start, broker: Broker
) -> None:
    with Host(broker.port) as host, Gate(broker.port) as gate:
        publisher = start(gate.port)
        eventually(lambda: host.of("NBIRTH"))
        outbox.put(*change("open"))
        eventually(lambda: host.labels() == ["open"] and empty(outbox))
        gate.shut()
        [death] = eventually(lambda: host.of("NDEATH"))
        assert death.values == {"bdSeq": 0}
        assert not death.retained
        outbox.put(*change("shut"))
        outbox.put(*change("ajar"))
        gate.open()
        eventually(lambda: host.labels()[-1:] == ["ajar"] and empty(outbox), 30)
        births = host.of("NBIRTH")
        assert [each.values["bdSeq"] for each in births] == list(range(len(births)))
        assert births[-1].values["gate/label"] == "ajar"
        assert host.labels() == ["open", "shut", "ajar"]
        history = [each for each in host.of("NDATA") if each.historical]
        assert [each.values["gate/label"] for each in history] == ["shut", "ajar"]
        assert_sequence(host)
        publisher.stop()
        eventually(lambda: host.kinds()[-1] == "NDEATH")
        assert host.told[-1].values == {"bdSeq": births[-1].values["bdSeq"]}


def test_the_number_of_a_connection_goes_on_after_a_restart_and_round(tmp_path: Path) -> None:
    path = tmp_path / "connections"
    assert [ConnectionCounter(path).next() for _ in range(258)] == [*range(256), 0, 1]
    path.write_text("damaged")
    assert ConnectionCounter(path).next() == 0
    assert ConnectionCounter(tmp_path / "nowhere" / "connections").next() == 0


def test_a_host_that_has_missed_something_asks_for_another_birth(outbox: Outbox, start: Start, broker: Broker) -> None:
    with Host(broker.port) as host:
        start(broker.port)
        outbox.put(*change("open"))
        eventually(lambda: host.labels() == ["open"])
        host.client.publish("spBv1.0/plant 1/NCMD/porch", b"gibberish", qos=1)
        for _ in range(5):
            host.client.publish("spBv1.0/plant 1/NCMD/porch", REBIRTH, qos=1)
        eventually(lambda: len(host.of("NBIRTH")) == 2)
        birth = host.of("NBIRTH")[-1]
        assert (birth.seq, birth.values["bdSeq"], birth.values["gate/label"]) == (0, 0, "open")
        outbox.put(*change("shut"))
        eventually(lambda: host.labels() == ["open", "shut"])
        assert len(host.of("NBIRTH")) == 2, "one birth serves all that asked at once"
        assert_sequence(host)


def test_nothing_is_said_before_the_primary_host_is_there_nor_after_it_has_left(
    outbox: Outbox, start: Start, broker: Broker
) -> None:
    def say(*, online: bool, timestamp: int) -> None:
        state = json.dumps({"online": online, "timestamp": timestamp})
        host.client.publish("spBv1.0/STATE/scada", state, qos=1, retain=True).wait_for_publish(10)

    with Host(broker.port) as host:
        publisher = start(broker.port, host="scada")
        eventually(lambda: publisher.connected)
        outbox.put(*change("open"))
        host.client.publish("spBv1.0/STATE/scada", b"OFFLINE", qos=1)
        say(online=False, timestamp=1)
        time.sleep(1.2)  # that nothing comes can only be waited for
        assert host.told == []
        say(online=True, timestamp=5)
        eventually(lambda: host.labels() == ["open"] and empty(outbox))
        say(online=False, timestamp=4)  # of an earlier connection
        outbox.put(*change("shut"))
        eventually(lambda: host.labels() == ["open", "shut"])
        say(online=False, timestamp=6)
        eventually(lambda: host.kinds()[-1] == "NDEATH")
        outbox.put(*change("ajar"))
        time.sleep(1.2)
        assert host.kinds()[-1] == "NDEATH"
        assert outbox.stats().pending == 1
        say(online=True, timestamp=7)
        eventually(lambda: host.labels() == ["open", "shut", "ajar"] and empty(outbox))
        assert_sequence(host)


def test_the_sequence_goes_round_at_256(outbox: Outbox, start: Start, broker: Broker) -> None:
    with Host(broker.port) as host:
        start(broker.port, replay_rate_hz=0)
        for number in range(600):
            outbox.put(*change(str(number)))
        eventually(lambda: empty(outbox) and len(host.labels()) >= 600, 30)
        assert sum(each.seq == 255 for each in host.told) >= 2
        assert_sequence(host)


def test_what_sparkplug_has_no_word_for_keeps_its_own_topic(outbox: Outbox, start: Start, broker: Broker) -> None:
    with Host(broker.port) as host:
        start(broker.port)
        outbox.put(Post("sightpost/porch/view/embedding", b"{}"))
        eventually(lambda: host.other_topics == ["sightpost/porch/view/embedding"] and empty(outbox))


def test_what_our_own_dialect_once_said_and_takes_back_is_no_metric(
    outbox: Outbox, start: Start, broker: Broker
) -> None:
    with Host(broker.port) as host:
        outbox.put(Post("sightpost/porch/old/state", b"", retain=True))
        start(broker.port)
        eventually(lambda: host.other_topics == ["sightpost/porch/old/state"])
        eventually(lambda: not outbox.states(only_dirty=False))
        assert [name for birth in host.of("NBIRTH") for name in birth.values if name.startswith("old/")] == []
        assert outbox.stats().refused == 0


def test_a_damaged_record_is_set_aside_and_the_rest_flows(outbox: Outbox, start: Start, broker: Broker) -> None:
    with Host(broker.port) as host:
        outbox.put(Post("sightpost/porch/gate/event", b"{}"))
        outbox.put(Post("sightpost/porch/gate/event", b"\xff"))
        outbox.put(*change("open"))
        start(broker.port)
        eventually(lambda: host.labels() == ["open"] and empty(outbox))
        assert outbox.flush(10)
        assert outbox.stats().refused == 2
        assert_sequence(host)


def test_a_watch_named_camera_is_a_watch(outbox: Outbox, start: Start, broker: Broker) -> None:
    outbox.put(*change("open", watch="camera"))
    outbox.put(Post("sightpost/porch/camera/image", b"\xff\xd8", retain=True))
    outbox.put(Post("sightpost/porch/camera/status", b"{}", retain=True))
    with Host(broker.port) as host:
        start(broker.port)
        eventually(lambda: empty(outbox) and host.of("NBIRTH"))
        [birth] = host.of("NBIRTH")
        assert birth.values["camera/label"] == "open"
        assert not {"camera/status", "camera/image/status"} & birth.values.keys()


def test_the_backlog_of_a_watch_that_is_gone_is_told_event_by_event(
    outbox: Outbox, start: Start, broker: Broker
) -> None:
    for label in ("open", "shut", "ajar"):
        outbox.put(*change(label, watch="old"))
    outbox.put(Post("sightpost/porch/old/state", b"", retain=True))
    with Host(broker.port) as host:
        start(broker.port)
        eventually(lambda: empty(outbox))
        assert outbox.flush(10)
        told = [each.values["old/label"] for each in host.told if "old/label" in each.values]
        assert [label for label in told if label is not None] == ["open", "shut", "ajar"]
        assert len(host.of("NBIRTH")) <= 2
        assert_sequence(host)
