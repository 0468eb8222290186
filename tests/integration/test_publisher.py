"""From the outbox to a subscriber, through real brokers."""

from __future__ import annotations

import json
import logging
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import pytest
from brokers import Subscriber, amqtt, eventually, free_port, mosquitto
from delivery import TOPICS, assert_in_order, change

from edge.config import MqttConfig, OutboxConfig
from edge.errors import BrokerError
from edge.outbox import Outbox
from edge.publisher import Publisher, probe_broker
from edge.publisher.session import Notice
from edge.record import Post

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brokers import Broker


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox.open(tmp_path / "outbox.sqlite3", OutboxConfig(commit_wait_s=0.001))
    yield opened
    opened.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path) as running:
        yield running


Start = Callable[[MqttConfig], Publisher]


@pytest.fixture
def start(outbox: Outbox) -> Iterator[Start]:
    started: list[Publisher] = []

    def start(config: MqttConfig) -> Publisher:
        started.append(Publisher(outbox, config, TOPICS))
        started[-1].start()
        return started[-1]

    yield start
    for publisher in started:
        publisher.stop(drain_timeout_s=0)


def settings(port: int, **changes: object) -> MqttConfig:
    return msgspec.structs.replace(MqttConfig(host="127.0.0.1", port=port, connect_timeout_s=2.0), **changes)


def empty(outbox: Outbox) -> bool:
    return outbox.stats().pending == 0 and outbox.stats().waiting == 0


def test_what_happens_is_said_live_and_then_forgotten(outbox: Outbox, start: Start, broker: Broker) -> None:
    with Subscriber(broker.port) as subscriber:
        publisher = start(settings(broker.port))
        eventually(lambda: publisher.connected)
        outbox.put(*change("open"))
        eventually(lambda: subscriber.on("gate/state") and subscriber.on("gate/event"))
        eventually(lambda: empty(outbox))
        publisher.stop()
        [event], [state] = subscriber.payloads("gate/event"), subscriber.payloads("gate/state")
        assert (event["label"], event["sequence"], event["replayed"]) == ("open", 1, False)
        assert (state["label"], state["sequence"], state["replayed"]) == ("open", 1, False)
        assert event["id"] != state["id"]
        outbox.flush(10)
        assert outbox.stats().delivered == 1


def test_a_broker_that_comes_later_gets_everything_in_order(outbox: Outbox, start: Start, tmp_path: Path) -> None:
    late = mosquitto(tmp_path)
    publisher = start(settings(late.port, reconnect_max_s=3.0))
    for number in range(200):
        outbox.put(*change(f"label {number}", watch=("gate", "bay")[number % 2]))
    outbox.flush(10)
    time.sleep(2.1)  # what is sent later than two seconds is no longer live
    assert not publisher.connected
    with late, Subscriber(late.port) as subscriber:
        eventually(lambda: len(subscriber.on("/event")) >= 190, 30)
        eventually(lambda: empty(outbox))
        publisher.stop()
        assert_in_order(subscriber.payloads("/event"), gap_free=False)
        assert all(payload["replayed"] for payload in subscriber.payloads("/event"))


def test_live_states_go_ahead_of_the_backlog(outbox: Outbox, start: Start, broker: Broker) -> None:
    for number in range(3000):
        outbox.put(*change(f"label {number}"))
    outbox.flush(10)
    with Subscriber(broker.port) as subscriber:
        publisher = start(settings(broker.port))
        eventually(lambda: subscriber.on("/event"))
        outbox.put(*change("now"))
        eventually(lambda: empty(outbox), 30)
        eventually(lambda: len(subscriber.on("/event")) == 3001)
        publisher.stop()
        order = [message.topic.rsplit("/", 1)[1] for message in subscriber.received]
        assert order.index("state") < order.index("event"), "the newest state was not said first"
        live = next(index for index, each in enumerate(subscriber.received) if each.payload.get("label") == "now")
        assert subscriber.received[live].topic.endswith("state")
        assert "event" in order[live + 1 :], "the live state waited for the backlog"
        assert_in_order(subscriber.payloads("/event"))


def test_a_late_subscriber_finds_the_state_and_the_device_online(outbox: Outbox, start: Start, broker: Broker) -> None:
    publisher = start(settings(broker.port))
    outbox.put(*change("open"))
    eventually(lambda: outbox.stats().delivered or empty(outbox))
    eventually(lambda: publisher.connected)
    eventually(lambda: not outbox.states(only_dirty=True) and outbox.states(only_dirty=False))
    with Subscriber(broker.port) as late:
        eventually(lambda: len(late.received) >= 2)
        [state], [status] = late.on("gate/state"), late.on("porch/status")
        assert state.retain
        assert state.payload["label"] == "open"
        assert status.retain
        assert (status.payload["status"], status.payload["epoch"]) == ("online", outbox.epoch)
        assert status.payload["outbox"]["dropped"] == {"waiting": 0, "full": 0, "old": 0, "invalid": 0, "purged": 0}
        assert late.on("/event") == []
    publisher.stop()


def test_only_the_newest_of_the_states_of_an_outage_is_said_but_every_event(
    outbox: Outbox, start: Start, broker: Broker
) -> None:
    for label in ("open", "closed", "open", "ajar"):
        outbox.put(*change(label))
    outbox.flush(10)
    with Subscriber(broker.port) as subscriber:
        publisher = start(settings(broker.port))
        eventually(lambda: len(subscriber.on("/event")) == 4 and subscriber.on("/state"))
        publisher.stop()
        assert [payload["label"] for payload in subscriber.payloads("/state")] == ["ajar"]
        assert subscriber.payloads("/state")[0]["sequence"] == 4


def test_states_are_said_again_to_a_broker_that_forgot_them(outbox: Outbox, start: Start, broker: Broker) -> None:
    publisher = start(settings(broker.port))
    outbox.put(*change("open"))
    eventually(lambda: outbox.states(only_dirty=False) and not outbox.states(only_dirty=True) and empty(outbox))
    broker.kill()
    eventually(lambda: not publisher.connected)
    broker.start()
    eventually(lambda: publisher.connected)
    with Subscriber(broker.port) as subscriber:
        [state] = eventually(lambda: subscriber.on("/state"))
        assert state.payload["label"] == "open"
    publisher.stop()


def test_a_clean_stop_says_so_and_a_crash_lets_the_will_speak(outbox: Outbox, start: Start, broker: Broker) -> None:
    with Subscriber(broker.port) as subscriber:
        publisher = start(settings(broker.port))
        eventually(lambda: publisher.connected)
        publisher.stop()
        eventually(lambda: len(subscriber.on("porch/status")) == 2)
        assert [(each["status"], each["reason"]) for each in subscriber.payloads("porch/status")] == [
            ("online", None),
            ("offline", "stopped"),
        ]
    with Subscriber(broker.port) as late:
        [status] = eventually(lambda: late.on("porch/status"))
        assert (status.retain, status.payload["reason"]) == (True, "stopped")


def test_an_answer_that_was_given_just_before_the_stop_is_said(outbox: Outbox, start: Start, broker: Broker) -> None:
    with Subscriber(broker.port) as subscriber:
        for attempt in range(5):  # it is a race
            publisher = start(settings(broker.port))
            eventually(lambda publisher=publisher: publisher.connected)  # type: ignore[misc]
            publisher.say(Notice("sightpost/porch/cmd/response", b'{"attempt": %d}' % attempt))
            publisher.stop()
        eventually(lambda: len(subscriber.on("cmd/response")) == 5)


def test_what_cannot_be_sent_before_the_stop_is_sent_after_the_next_start(
    outbox: Outbox, start: Start, broker: Broker
) -> None:
    nowhere = start(settings(free_port()))
    outbox.put(*change("open"))
    before_s = time.monotonic()
    nowhere.stop(drain_timeout_s=0.5)
    assert time.monotonic() - before_s < 3
    assert outbox.stats().pending == 1
    with Subscriber(broker.port) as subscriber:
        publisher = start(settings(broker.port))
        eventually(lambda: subscriber.on("/event"))
        publisher.stop()


def test_a_stop_waits_until_all_is_sent(outbox: Outbox, start: Start, broker: Broker) -> None:
    with Subscriber(broker.port) as subscriber:
        for number in range(2000):
            outbox.put(*change(str(number)))
        publisher = start(settings(broker.port))
        publisher.stop(drain_timeout_s=30)
        assert outbox.stats().pending == 0
        eventually(lambda: len(subscriber.on("/event")) == 2000)
        assert_in_order(subscriber.payloads("/event"))


def test_a_stop_with_nothing_to_send_does_not_wait_for_a_broker(outbox: Outbox, start: Start) -> None:
    publisher = start(settings(free_port()))
    time.sleep(0.1)
    before_s = time.monotonic()
    publisher.stop(drain_timeout_s=20)
    assert time.monotonic() - before_s < 2


def test_a_stop_does_not_wait_for_a_broker_that_is_away(outbox: Outbox, start: Start) -> None:
    publisher = start(settings(free_port()))
    outbox.put(*change("open"))
    time.sleep(0.5)  # it has tried, in vain
    before_s = time.monotonic()
    publisher.stop(drain_timeout_s=20)
    assert time.monotonic() - before_s < 2
    assert outbox.stats().pending == 1


def test_a_stop_does_not_wait_for_an_attempt_to_connect(
    outbox: Outbox, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name service that does not answer holds whoever asks it for half a minute."""
    asked, answer = threading.Event(), threading.Event()

    def resolve(*_args: object, **_options: object) -> list[object]:
        asked.set()
        answer.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    publisher = start(settings(1, host="broker.example"))
    assert asked.wait(5)
    before_s = publisher.last_progress_s
    eventually(lambda: publisher.last_progress_s > before_s, 3, what="the thread shows that it is alive")
    before_s = time.monotonic()
    publisher.stop(drain_timeout_s=0.5)
    assert time.monotonic() - before_s < 3
    answer.set()


def test_another_broker_of_the_cluster_stands_in(outbox: Outbox, start: Start, tmp_path: Path) -> None:
    with mosquitto(tmp_path) as one, mosquitto(tmp_path) as other:
        config = settings(free_port(), fallback_hosts=(f"127.0.0.1:{one.port}", f"127.0.0.1:{other.port}"))
        with Subscriber(one.port) as heard_one, Subscriber(other.port) as heard_other:
            publisher = start(config)
            outbox.put(*change("open"))
            eventually(lambda: heard_one.on("/event"))
            one.kill()
            outbox.put(*change("closed"))
            eventually(lambda: heard_other.on("/event"))
            publisher.stop()
            # What the first one acknowledged just before its end may come again: it may not have kept it.
            assert [each["label"] for each in heard_other.payloads("/event")][-1] == "closed"


def test_a_broker_that_only_knows_the_old_version_is_spoken_to_in_it(
    outbox: Outbox, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with amqtt() as old, Subscriber(old.port) as subscriber:
        assert probe_broker(settings(old.port), 5) == "MQTT 3.1.1"
        publisher = start(settings(old.port))
        for number in range(100):
            outbox.put(*change(str(number)))
        eventually(lambda: len(subscriber.on("/event")) == 100, 30)
        eventually(lambda: empty(outbox))
        assert_in_order(subscriber.payloads("/event"))
        publisher.stop()
        eventually(lambda: subscriber.payloads("porch/status")[-1]["reason"] == "stopped")
    assert "MQTT 3.1.1" in caplog.text


def test_mqtt_5_is_preferred_and_a_fixed_version_is_kept_to(broker: Broker) -> None:
    assert probe_broker(settings(broker.port), 5) == "MQTT 5"
    assert probe_broker(settings(broker.port, version="3.1.1"), 5) == "MQTT 3.1.1"
    with amqtt() as old, pytest.raises(BrokerError, match=r"does not speak MQTT 5: set mqtt.version"):
        probe_broker(settings(old.port, version="5"), 5)


def test_names_and_passwords(outbox: Outbox, start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "users").write_text("")
    subprocess.run(["mosquitto_passwd", "-b", tmp_path / "users", "porch", "right"], check=True, capture_output=True)
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    strict = mosquitto(tmp_path, "allow_anonymous false", f"password_file {tmp_path / 'users'}")
    config = settings(strict.port, username="porch", password_file=str(secret), reconnect_max_s=1.0)
    with strict:
        publisher = start(config)
        outbox.put(*change("open"))
        with pytest.raises(BrokerError, match=r"refuses user 'porch' .*check mqtt.username and mqtt.password_file"):
            probe_broker(config, 5)
        with pytest.raises(BrokerError, match="refuses a client without a name"):
            probe_broker(settings(strict.port), 5)
        eventually(lambda: "mqtt.password_file" in caplog.text)
        time.sleep(2)  # several attempts
        assert caplog.text.count("refuses user") == 1, "the log is flooded"
        assert outbox.stats().pending == 1
        secret.write_text("right\n")
        eventually(lambda: publisher.connected)
        assert probe_broker(config, 5) == "MQTT 5"
        eventually(lambda: empty(outbox))
        publisher.stop()


def test_a_missing_password_file_is_named(broker: Broker, tmp_path: Path) -> None:
    config = settings(broker.port, username="porch", password_file=str(tmp_path / "missing"))
    with pytest.raises(BrokerError, match=r"missing: cannot read the password .*mqtt.password_file"):
        probe_broker(config, 5)


def test_what_is_wrong_with_the_way_to_the_broker_is_said() -> None:
    with pytest.raises(BrokerError, match="nothing listens there") as refusal:
        probe_broker(settings(free_port()), 1)
    assert refusal.value.exit_code == 69
    with pytest.raises(BrokerError, match="its name is not known"):
        probe_broker(settings(1, host="no-such-host.invalid"), 1)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(BrokerError, match=r"did not answer within 0.5 s"),
    ):
        probe_broker(settings(silent.getsockname()[1]), 0.5)


def test_what_the_broker_refuses_is_set_aside_and_the_rest_flows(outbox: Outbox, start: Start, tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic readwrite sightpost/porch/bay/#\ntopic readwrite sightpost/porch/status\n")
    with mosquitto(tmp_path, f"acl_file {tmp_path / 'acl'}") as strict, Subscriber(strict.port) as subscriber:
        publisher = start(settings(strict.port))
        outbox.put(*change("unwanted", watch="gate"))
        outbox.put(*change("wanted", watch="bay"))
        eventually(lambda: subscriber.on("bay/event") and subscriber.on("bay/state"))
        eventually(lambda: empty(outbox))
        publisher.stop()
    outbox.flush(10)
    assert outbox.stats().refused == 2
    with sqlite3.connect(tmp_path / "outbox.sqlite3") as reader:
        rows = reader.execute("SELECT topic, reason FROM dead_letters").fetchall()
    reader.close()
    assert {topic for topic, _ in rows} == {"sightpost/porch/gate/event", "sightpost/porch/gate/state"}
    assert all("Not authorized" in reason for _, reason in rows)


def test_what_is_too_large_for_the_broker_is_set_aside_and_the_rest_flows(
    outbox: Outbox, start: Start, tmp_path: Path
) -> None:
    with mosquitto(tmp_path, "max_packet_size 20000") as small, Subscriber(small.port) as subscriber:
        publisher = start(settings(small.port))
        outbox.put(Post("sightpost/porch/gate/image", json.dumps({"picture": "x" * 30_000}).encode()))
        outbox.put(*change("open"))
        eventually(lambda: subscriber.on("gate/event"))
        publisher.stop()
    outbox.flush(10)
    assert outbox.stats().refused == 1


def test_the_window_is_never_exceeded(outbox: Outbox, start: Start, tmp_path: Path) -> None:
    """A broker that counts ends the connection of whoever has more under way than it allows."""
    with mosquitto(tmp_path, "max_inflight_messages 3") as narrow, Subscriber(narrow.port) as subscriber:
        publisher = start(settings(narrow.port, max_inflight=1000))
        for number in range(500):
            outbox.put(*change(str(number)))
        eventually(lambda: len(subscriber.on("/event")) == 500, 30)
        eventually(lambda: empty(outbox))
        publisher.stop()
        eventually(lambda: subscriber.payloads("porch/status")[-1]["status"] == "offline")
        assert [each["status"] for each in subscriber.payloads("porch/status")] == ["online", "offline"]


def test_the_thread_shows_that_it_is_alive(outbox: Outbox, start: Start, broker: Broker) -> None:
    publisher = start(settings(broker.port))
    eventually(lambda: publisher.connected)
    before_s = publisher.last_progress_s
    eventually(lambda: publisher.last_progress_s > before_s, 3)
    publisher.stop()
