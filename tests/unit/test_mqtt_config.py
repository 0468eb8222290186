"""What the owner writes about the broker."""

from __future__ import annotations

from pathlib import Path

from edge.config import parse_config

COMPLETE = {
    "device": {"id": "porch"},
    "cameras": {"yard": {"source": 0}},
    "models": {"gate": {"file": "gate.tflite"}},
    "watches": {"gate": {"camera": "yard", "model": "gate"}},
}


def test_files_are_seen_from_the_configuration_but_credentials_are_not() -> None:
    tls = {"ca_file": "ca.pem", "key_file": "credential:key"}
    raw = COMPLETE | {"mqtt": {"password_file": "credential:password", "tls": tls}}
    mqtt = parse_config(raw, where="edge.toml", base=Path("/etc/sightpost")).mqtt
    assert mqtt.password_file == "credential:password"  # noqa: S105  the name of one
    assert mqtt.tls is not None
    assert mqtt.tls.ca_file == "/etc/sightpost/ca.pem"
    assert mqtt.tls.cert_file is None
    assert mqtt.tls.key_file == "credential:key"


def test_an_empty_table_asks_for_tls_and_none_does_without() -> None:
    assert parse_config(COMPLETE | {"mqtt": {"tls": {}}}, where="edge.toml", base=Path("/")).mqtt.tls is not None
    assert parse_config(COMPLETE, where="edge.toml", base=Path("/")).mqtt.tls is None
