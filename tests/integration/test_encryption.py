"""TLS to a real broker: who we believe, who we are, and what is said when that does not work out."""

from __future__ import annotations

import ssl
import subprocess
import time
from typing import TYPE_CHECKING

import msgspec
import pytest
from authority import Authority, Identity
from brokers import Broker, Subscriber, amqtt, eventually, free_port, mosquitto
from delivery import TOPICS, assert_in_order, change

from edge.config import MqttConfig, OutboxConfig, TlsConfig
from edge.credentials import locate
from edge.errors import BrokerError
from edge.outbox import Outbox
from edge.publisher import Publisher, probe_broker
from edge.publisher.advice import unreachable
from edge.publisher.credentials import read_password

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXPIRED = ("20200101000000Z", "20210101000000Z")
NOT_YET_VALID = ("20980101000000Z", "20991231000000Z")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def localhost(authority: Authority) -> Identity:
    return authority.issue("localhost")


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox.open(tmp_path / "outbox.sqlite3", OutboxConfig(commit_wait_s=0.001))
    yield opened
    opened.close()


def encrypted(folder: Path, ca_file: Path, identity: Identity, *settings: str, plain_port: int | None = None) -> Broker:
    """Make a mosquitto with TLS, and perhaps a plain port for the tests' own subscriber."""
    files = (f"cafile {ca_file}", f"certfile {identity.cert_file}", f"keyfile {identity.key_file}")
    plain = () if plain_port is None else (f"listener {plain_port} 127.0.0.1",)
    return mosquitto(folder, *files, *settings, *plain)


def config(port: int, ca_file: Path, identity: Identity | None = None, **changes: object) -> MqttConfig:
    tls = TlsConfig(ca_file=str(ca_file))
    if identity is not None:
        tls = TlsConfig(ca_file=str(ca_file), cert_file=str(identity.cert_file), key_file=str(identity.key_file))
    plain = MqttConfig(host="localhost", port=port, connect_timeout_s=3.0, replay_rate_hz=0, tls=tls)
    return msgspec.structs.replace(plain, **changes)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_what_happens_arrives_encrypted_and_a_backlog_too(
    outbox: Outbox, tmp_path: Path, authority: Authority, localhost: Identity, version: str
) -> None:
    for number in range(500):
        outbox.put(*change(f"label {number}"))
    plain_port = free_port()
    broker = encrypted(tmp_path, authority.ca_file, localhost, plain_port=plain_port)
    with broker, Subscriber(plain_port) as subscriber:
        publisher = Publisher(outbox, config(broker.port, authority.ca_file, version=version), TOPICS)
        publisher.start()
        eventually(lambda: len(subscriber.on("/event")) == 500, 30)
        began_s = time.monotonic()
        outbox.put(*change("live"))
        eventually(lambda: "live" in [payload["label"] for payload in subscriber.payloads("/event")])
        assert time.monotonic() - began_s < 2.0
        eventually(lambda: outbox.stats().pending == 0)
        publisher.stop()
        assert_in_order(subscriber.payloads("/event"))


def test_a_broker_may_want_to_know_who_we_are(tmp_path: Path, authority: Authority, localhost: Identity) -> None:
    porch = authority.issue("porch")
    (tmp_path / "acl").write_text("user porch\ntopic readwrite sightpost/porch/#\n")
    wishes = ("require_certificate true", "use_identity_as_username true", f"acl_file {tmp_path / 'acl'}")
    with encrypted(tmp_path, authority.ca_file, localhost, *wishes) as broker:
        assert probe_broker(config(broker.port, authority.ca_file, porch), 3.0) == "MQTT 5"
        with pytest.raises(BrokerError, match="it may want our certificate"):
            probe_broker(config(broker.port, authority.ca_file), 3.0)
        stranger = Authority(tmp_path / "other", "other").issue("porch")
        with pytest.raises(BrokerError, match="it may not know our certificate"):
            probe_broker(config(broker.port, authority.ca_file, stranger), 3.0)


def test_an_impersonated_broker_is_refused_and_nothing_is_lost(
    outbox: Outbox, tmp_path: Path, authority: Authority, localhost: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    false = Authority(tmp_path / "false", "false")
    with encrypted(tmp_path, false.ca_file, false.issue("localhost")) as broker:
        with pytest.raises(BrokerError, match="not signed by whom we trust"):
            probe_broker(config(broker.port, authority.ca_file), 3.0)
        publisher = Publisher(outbox, config(broker.port, authority.ca_file), TOPICS)
        publisher.start()
        outbox.put(*change("secret"))
        eventually(lambda: "not signed by whom we trust" in caplog.text)
        assert not publisher.connected
        assert outbox.flush(10)
        assert outbox.stats().pending == 1
        port = broker.port
    files = (f"cafile {authority.ca_file}", f"certfile {localhost.cert_file}", f"keyfile {localhost.key_file}")
    with mosquitto(tmp_path, *files, port=port):
        eventually(lambda: outbox.stats().pending == 0, 30)
        publisher.stop()


def test_a_name_that_is_not_in_the_certificate_is_refused(tmp_path: Path, authority: Authority) -> None:
    broker = encrypted(tmp_path, authority.ca_file, authority.issue("elsewhere"))
    with broker, pytest.raises(BrokerError, match="for another name"):
        probe_broker(config(broker.port, authority.ca_file), 3.0)


@pytest.mark.parametrize(
    ("valid", "words"), [(EXPIRED, "expired.*clock says 20"), (NOT_YET_VALID, "not valid yet; .*clock says 20.*set it")]
)
def test_a_certificate_out_of_its_time_points_to_the_clock(
    tmp_path: Path, authority: Authority, valid: tuple[str, str], words: str
) -> None:
    broker = encrypted(tmp_path, authority.ca_file, authority.issue("localhost", valid=valid))
    with broker, pytest.raises(BrokerError, match=words):
        probe_broker(config(broker.port, authority.ca_file), 3.0)


def test_a_clock_at_1970_is_named() -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_code = 9
    said = unreachable(MqttConfig(tls=TlsConfig()), error, 100.0)
    assert "1970-01-01 00:01 UTC" in said
    assert "time server" in said


def test_plain_and_encrypted_ports_mixed_up_are_told_apart(
    tmp_path: Path, authority: Authority, localhost: Identity
) -> None:
    plain_port = free_port()
    with encrypted(tmp_path, authority.ca_file, localhost, plain_port=plain_port) as broker:
        with pytest.raises(BrokerError, match=r"speaks? TLS there"):
            probe_broker(config(plain_port, authority.ca_file), 3.0)
        with pytest.raises(BrokerError, match="TLS"):
            probe_broker(MqttConfig(host="localhost", port=broker.port), 2.0)


def test_files_that_are_missing_or_wrong_are_named(tmp_path: Path, authority: Authority) -> None:
    port = free_port()
    mine, other = authority.issue("mine"), authority.issue("theirs")
    with pytest.raises(BrokerError, match=r"nowhere.pem: cannot read it \(No such file"):
        probe_broker(config(port, tmp_path / "nowhere.pem"), 1.0)
    (tmp_path / "no.pem").write_text("no certificate")
    with pytest.raises(BrokerError, match="no certificate in PEM form"):
        probe_broker(config(port, tmp_path / "no.pem"), 1.0)
    with pytest.raises(BrokerError, match="no certificate with its key"):
        probe_broker(config(port, authority.ca_file, Identity(mine.cert_file, other.key_file)), 1.0)
    locked = tmp_path / "locked.key"
    encrypt = ["openssl", "ec", "-in", str(mine.key_file), "-aes256", "-passout", "pass:secret", "-out", str(locked)]
    subprocess.run(encrypt, check=True, capture_output=True)
    with pytest.raises(BrokerError, match="no certificate with its key, unencrypted"):
        probe_broker(config(port, authority.ca_file, Identity(mine.cert_file, locked)), 1.0)


def test_systemd_hands_out_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, name = "mqtt.tls.key_file", "credential:key"
    there = locate(name, key, error=BrokerError, environment={"CREDENTIALS_DIRECTORY": "/run/c"})
    assert there.as_posix() == "/run/c/key"
    with pytest.raises(BrokerError, match=r"mqtt.tls.key_file: .*LoadCredential="):
        locate(name, key, error=BrokerError, environment={})
    (tmp_path / "password").write_text("open sesame\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    config_ = MqttConfig(username="porch", password_file="credential:password")  # noqa: S106  the name of a file
    assert read_password(config_) == "open sesame"


def test_a_client_id_of_ones_own_is_used(tmp_path: Path, outbox: Outbox) -> None:
    log = tmp_path / "log"
    with mosquitto(tmp_path, f"log_dest file {log}", "log_type all") as broker:
        publisher = Publisher(outbox, MqttConfig(host="127.0.0.1", port=broker.port, client_id="porch-17"), TOPICS)
        publisher.start()
        eventually(lambda: publisher.connected)
        publisher.stop()
        eventually(lambda: "as porch-17 " in log.read_text())


def test_websockets_carry_everything_too(outbox: Outbox) -> None:
    for number in range(100):
        outbox.put(*change(f"label {number}"))
    plain_port = free_port()
    with amqtt("ws", plain_port=plain_port) as broker, Subscriber(plain_port) as subscriber:
        over_web = MqttConfig(host="127.0.0.1", port=broker.port, transport="websockets", version="3.1.1")
        publisher = Publisher(outbox, over_web, TOPICS)
        publisher.start()
        eventually(lambda: len(subscriber.on("/event")) == 100, 30)
        eventually(lambda: outbox.stats().pending == 0)
        publisher.stop()
        assert_in_order(subscriber.payloads("/event"))


def test_a_port_without_websockets_is_named(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, pytest.raises(BrokerError, match="does not speak WebSocket"):
        probe_broker(MqttConfig(host="127.0.0.1", port=broker.port, transport="websockets"), 3.0)
