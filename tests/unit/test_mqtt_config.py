"""What the owner writes about the broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import parse_config
from edge.credentials import read_secret
from edge.errors import BrokerError, ConfigError

COMPLETE = {
    "device": {"id": "porch"},
    "cameras": {"yard": {"source": 0}},
    "models": {"gate": {"file": "gate.tflite"}},
    "watches": {"gate": {"camera": "yard", "model": "gate"}},
}


def test_files_are_seen_from_the_configuration_but_credentials_are_not() -> None:
    tls = {"ca_file": "ca.pem", "cert_file": "/porch.pem", "key_file": "credential:key"}
    raw = COMPLETE | {"mqtt": {"username": "porch", "password_file": "credential:password", "tls": tls}}
    mqtt = parse_config(raw, where="edge.toml", base=Path("/etc/sightpost")).mqtt
    assert mqtt.password_file == "credential:password"  # noqa: S105  the name of one
    assert mqtt.tls is not None
    assert mqtt.tls.ca_file == "/etc/sightpost/ca.pem"
    assert mqtt.tls.cert_file == "/porch.pem"
    assert mqtt.tls.key_file == "credential:key"


@pytest.mark.parametrize(
    ("mqtt", "missing"),
    [
        ({"password_file": "secret"}, "username"),
        ({"tls": {"key_file": "porch.key"}}, "tls.cert_file"),
    ],
)
def test_a_secret_without_whose_it_is_would_never_be_shown(mqtt: dict[str, object], missing: str) -> None:
    with pytest.raises(ConfigError, match=rf"mqtt\.{missing}: is missing"):
        parse_config(COMPLETE | {"mqtt": mqtt}, where="edge.toml", base=Path("/"))


def test_a_secret_may_come_from_an_editor_that_marks_its_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xef\xbb\xbfopen sesame\r\n")
    assert read_secret(str(tmp_path / "secret"), "mqtt.password_file", error=BrokerError) == "open sesame"


def test_an_empty_table_asks_for_tls_and_none_does_without() -> None:
    assert parse_config(COMPLETE | {"mqtt": {"tls": {}}}, where="edge.toml", base=Path("/")).mqtt.tls is not None
    assert parse_config(COMPLETE, where="edge.toml", base=Path("/")).mqtt.tls is None


def test_other_brokers_of_a_cluster_are_named_with_or_without_their_port() -> None:
    raw = COMPLETE | {"mqtt": {"host": "a", "port": 1884, "fallback_hosts": ["b", "c:1885", "::1", "[::1]:1886"]}}
    mqtt = parse_config(raw, where="edge.toml", base=Path("/")).mqtt
    assert mqtt.addresses() == [("a", 1884), ("b", 1884), ("c", 1885), ("::1", 1884), ("::1", 1886)]


@pytest.mark.parametrize(("wrong", "complaint"), [("b/c", "no host name"), ("b:0", "no port 0"), ("b:70000", "70000")])
def test_a_wrong_broker_of_a_cluster_is_named(wrong: str, complaint: str) -> None:
    raw = COMPLETE | {"mqtt": {"fallback_hosts": ["b", wrong]}}
    with pytest.raises(ConfigError, match=rf"mqtt\.fallback_hosts\[1\].*{complaint}"):
        parse_config(raw, where="edge.toml", base=Path("/"))


@pytest.mark.parametrize(
    "host", ["mqtt://anna:secret@broker.local", "anna:secret@broker.local", "anna:se@cret@broker:1"]
)
@pytest.mark.parametrize("key", ["host", "fallback_hosts"])
def test_a_password_in_an_address_is_refused_and_not_repeated(host: str, key: str) -> None:
    raw = COMPLETE | {"mqtt": {key: host if key == "host" else [host]}}
    with pytest.raises(ConfigError, match=rf"mqtt\.{key}.*broker.*mqtt\.password_file") as refused:
        parse_config(raw, where="edge.toml", base=Path("/"))
    assert "cret" not in str(refused.value)


def test_a_port_beside_the_host_is_told_where_it_goes() -> None:
    with pytest.raises(ConfigError, match=r"mqtt\.host: 'broker:1883'.*mqtt\.port"):
        parse_config(COMPLETE | {"mqtt": {"host": "broker:1883"}}, where="edge.toml", base=Path("/"))
