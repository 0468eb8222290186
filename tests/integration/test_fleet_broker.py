"""The broker of deploy/broker, with certificates of its script: who is let in, who may say what, and what it keeps."""

from __future__ import annotations

import json
import os
import sqlite3
import ssl
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
import paho.mqtt.client as mqtt
import pytest
from brokers import Broker, eventually, free_port
from delivery import TOPICS, assert_in_order, change, without_repeats
from paho.mqtt.enums import CallbackAPIVersion

from edge.config import MqttConfig, OutboxConfig, TlsConfig
from edge.errors import BrokerError
from edge.outbox import Outbox
from edge.publisher import Publisher, probe_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = Path(__file__).parent.parent.parent / "deploy" / "broker"


def certificates(folder: Path, *command: str) -> str:
    done = subprocess.run([DEPLOY / "certificates.sh", folder, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority")
    certificates(folder, "init")
    certificates(folder, "broker", "localhost", "127.0.0.1")
    for name in ("porch", "other", "dashboard", "site-north"):
        certificates(folder, "device", name)
    return folder


def deployed(folder: Path, authority: Path, *bridges: str, database: Path | None = None) -> Broker:
    """Make (not start) a mosquitto with the files of deploy/broker, but for paths and ports."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    acl = folder / "fleet.acl"
    acl.write_text((DEPLOY / "fleet.acl").read_text().replace("#user site-north\n#", "user site-north\n"))
    acl.chmod(0o600)
    text = (DEPLOY / "fleet.conf").read_text()
    for placed, here in (
        ("/etc/mosquitto/certs/broker", str(authority / "localhost")),
        ("/etc/mosquitto/certs", str(authority)),
        ("/etc/mosquitto/fleet.acl", str(acl)),
        ("listener 8883", f"listener {port} 127.0.0.1"),
    ):
        assert placed in text
        text = text.replace(placed, here)
    text = f"persistence_location {database or folder}/\n" + text + "".join(bridges)
    if os.getuid() == 0:
        text += "user root\n"
    (folder / "mosquitto.conf").write_text(text)
    return Broker(["mosquitto", "-c", str(folder / "mosquitto.conf")], port)


def settings(port: int, authority: Path, name: str | None = "porch", ca_file: Path | None = None) -> MqttConfig:
    tls = TlsConfig(ca_file=str(ca_file or authority / "ca.crt"))
    if name is not None:
        tls = msgspec.structs.replace(tls, cert_file=f"{authority}/{name}.crt", key_file=f"{authority}/{name}.key")
    return MqttConfig(host="127.0.0.1", port=port, tls=tls, reconnect_max_s=0.5, version="5")


class Reader:
    """A dashboard with a lasting session, which acknowledges what it gets."""

    def __init__(self, port: int, authority: Path) -> None:
        self.events: list[dict[str, object]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "dashboard", clean_session=False)
        context = ssl.create_default_context(cafile=authority / "ca.crt")
        context.load_cert_chain(authority / "dashboard.crt", authority / "dashboard.key")
        self._client.tls_set_context(context)
        self.subscribed = False
        self._client.on_connect = lambda client, *_: client.subscribe("sightpost/#", qos=1)
        self._client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        self._client.on_disconnect = lambda *_: setattr(self, "subscribed", False)
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        eventually(lambda: self.subscribed)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def labels(self) -> list[object]:
        return [event["label"] for event in without_repeats(list(self.events))]

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.endswith("/event"):
            self.events.append(json.loads(message.payload))


@contextmanager
def publishing(folder: Path, config: MqttConfig) -> Iterator[tuple[Outbox, Publisher]]:
    outbox = Outbox.open(folder / "outbox.sqlite", OutboxConfig(commit_wait_s=0.001))
    publisher = Publisher(outbox, config, TOPICS)
    publisher.start()
    try:
        yield outbox, publisher
    finally:
        publisher.stop()
        outbox.close()


def test_a_device_is_heard_under_its_own_name_and_no_other(tmp_path: Path, authority: Path) -> None:
    with deployed(tmp_path / "broker", authority) as broker, Reader(broker.port, authority) as reader:
        with publishing(tmp_path, settings(broker.port, authority)) as (outbox, _):
            outbox.put(*change("mine"))
            eventually(lambda: reader.labels() == ["mine"])
        with publishing(tmp_path, settings(broker.port, authority, "other")) as (outbox, _):
            outbox.put(*change("not mine"))
            eventually(lambda: outbox.stats().refused)
            assert outbox.flush(5)
        reasons = sqlite3.connect(tmp_path / "outbox.sqlite")
        letters = reasons.execute("SELECT topic, reason FROM dead_letters").fetchall()
        reasons.close()
        assert ("sightpost/porch/gate/event", "refused by the broker: Not authorized") in letters
        assert reader.labels() == ["mine"]


def test_a_refused_status_is_no_reason_to_set_events_aside(tmp_path: Path, authority: Path) -> None:
    """Over TLS mosquitto 2.0.11 ends the connection after each refusal; that is no message's fault."""
    with deployed(tmp_path / "broker", authority) as broker:
        acl = tmp_path / "broker" / "fleet.acl"
        acl.write_text(acl.read_text() + "user other\ntopic write sightpost/porch/bay/#\n")
        broker.kill()
        broker.start()
        with (
            Reader(broker.port, authority) as reader,
            publishing(tmp_path, settings(broker.port, authority, "other")) as (outbox, _),
        ):
            for number in range(10):
                outbox.put(*change(str(number), watch=("gate", "bay")[number % 2]))
            eventually(lambda: reader.labels() == ["1", "3", "5", "7", "9"], 30)
            assert outbox.flush(5)
            assert outbox.stats().refused == 6, "five events and the last state"


def test_nobody_without_a_certificate_of_the_authority_is_let_in(tmp_path: Path, authority: Path) -> None:
    stranger = tmp_path / "stranger"
    certificates(stranger, "init")
    certificates(stranger, "device", "porch")
    with deployed(tmp_path / "broker", authority) as broker:
        assert probe_broker(settings(broker.port, authority), 5) == "MQTT 5"
        with pytest.raises(BrokerError, match="certificate"):
            probe_broker(settings(broker.port, authority, None), 2)
        with pytest.raises(BrokerError, match="certificate"):
            probe_broker(settings(broker.port, stranger, "porch", authority / "ca.crt"), 2)
        with pytest.raises(BrokerError, match="not signed by whom we trust"):
            probe_broker(settings(broker.port, authority, "porch", stranger / "ca.crt"), 2)


def test_a_device_is_no_broker(tmp_path: Path, authority: Path) -> None:
    """A stolen device must not be able to play the broker for the others."""
    certificates(authority, "device", "localhost-device")
    broker = deployed(tmp_path / "broker", authority)
    path = tmp_path / "broker" / "mosquitto.conf"
    path.write_text(path.read_text().replace(f"{authority}/localhost.", f"{authority}/other."))
    with broker, pytest.raises(BrokerError, match="certificate"):
        probe_broker(settings(broker.port, authority), 2)


def test_a_revoked_device_stays_outside_and_a_renewed_one_comes_in(tmp_path: Path, authority: Path) -> None:
    certificates(authority, "device", "lost")
    certificates(authority, "revoke", "lost")
    with deployed(tmp_path / "broker", authority) as broker:
        with pytest.raises(BrokerError, match="certificate"):
            probe_broker(settings(broker.port, authority, "lost"), 2)
        certificates(authority, "device", "lost")
        assert probe_broker(settings(broker.port, authority, "lost"), 5) == "MQTT 5"
    listed = certificates(authority, "list")
    assert len([line for line in listed.splitlines() if line.startswith("revoked") and " lost " in line]) == 1


@pytest.mark.parametrize("command", [("device", "ca"), ("device", "CA"), ("broker", "ca"), ("revoke", "ca")])
def test_nobody_takes_the_place_of_the_authority_itself(authority: Path, command: tuple[str, str]) -> None:
    """Its key is ``ca.key``; overwritten, no device could ever be renewed."""
    before = (authority / "ca.key").read_bytes()
    words = [DEPLOY / "certificates.sh", authority, *command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, (authority / "ca.key").read_bytes()) == (1, before)
    assert "take another one" in done.stderr


def test_keys_are_for_their_owner_alone(authority: Path) -> None:
    assert {oct(key.stat().st_mode & 0o777) for key in authority.glob("*.key")} == {"0o600"}


def test_a_bridge_passes_on_what_devices_say_also_after_an_outage(tmp_path: Path, authority: Path) -> None:
    central = deployed(tmp_path / "central", authority)
    bridge = (DEPLOY / "bridge.conf").read_text()
    bridge = bridge.replace("central.example.org:8883", f"127.0.0.1:{central.port}")
    bridge = bridge.replace("/etc/mosquitto/certs", str(authority))
    with (
        deployed(tmp_path / "site", authority, bridge) as site,
        publishing(tmp_path, settings(site.port, authority)) as (outbox, publisher),
    ):
        eventually(lambda: publisher.connected)
        outbox.put(*(post for number in range(50) for post in change(str(number))))
        eventually(lambda: outbox.stats().pending == 0)  # nobody central is there yet
        site.kill()
        site.start()
        with central, Reader(central.port, authority) as reader:
            eventually(lambda: publisher.connected)
            outbox.put(*(post for number in range(50, 60) for post in change(str(number))))
            eventually(lambda: len(reader.labels()) == 60, 40, "all have passed the bridge")
            assert reader.labels() == [str(number) for number in range(60)]


def test_a_broker_that_is_killed_keeps_what_it_has_acknowledged(tmp_path: Path, authority: Path) -> None:
    with deployed(tmp_path / "broker", authority) as broker:
        with Reader(broker.port, authority):
            pass  # from now on the broker keeps events for it
        with publishing(tmp_path, settings(broker.port, authority)) as (outbox, publisher):
            for number in range(200):
                outbox.put(*change(str(number)))
            eventually(lambda: outbox.stats().pending == 0)
            time.sleep(0.05)
            broker.kill()
            broker.start()
            eventually(lambda: publisher.connected)
            with Reader(broker.port, authority) as reader:
                eventually(lambda: len(reader.labels()) == 200)
                assert_in_order(reader.events)
