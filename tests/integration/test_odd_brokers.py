"""What listens there says what no broker should: each time one line is said, and nothing hangs."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import msgspec
import pytest
from brokers import eventually

from edge.cli import main
from edge.config import MqttConfig
from edge.errors import BrokerError
from edge.publisher import probe_broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WELCOME = b"\x20\x03\x00\x00\x00"
HANDSHAKE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"


@contextmanager
def odd(*parts: bytes, again: bytes = b"") -> Iterator[int]:
    """Listen on a port; say one part for each that is heard, and ``again`` ten times a second after that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()
        thread = threading.Thread(target=_serve, args=(listener, parts, again, ended))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            ended.set()
            thread.join(10)


def _serve(listener: socket.socket, parts: tuple[bytes, ...], again: bytes, ended: threading.Event) -> None:
    listener.settimeout(0.05)
    while not ended.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        with connection:
            try:
                for part in parts:
                    connection.recv(4096)
                    connection.sendall(part)
                while not ended.wait(0.1):
                    connection.sendall(again)
            except OSError:
                continue


def probe(port: int, transport: Literal["tcp", "websockets"] = "tcp", **changes: object) -> str:
    config = MqttConfig(host="127.0.0.1", port=port, transport=transport, version="5")
    return probe_broker(msgspec.structs.replace(config, **changes), 0.5, say="a/b", hear=["c/#"])


@pytest.mark.parametrize("accepted", [b"\xff\xfe", b""], ids=["no text", "nothing"])
def test_a_handshake_of_websocket_that_makes_no_sense_is_none(accepted: bytes) -> None:
    colon = b": " if accepted else b""
    with (
        odd(HANDSHAKE + b"Sec-WebSocket-Accept" + colon + accepted + b"\r\n\r\n") as port,
        pytest.raises(BrokerError, match="does not speak WebSocket there"),
    ):
        probe(port, "websockets")


def test_a_handshake_of_websocket_that_never_ends_is_given_up() -> None:
    started_s = time.monotonic()
    with odd(HANDSHAKE, again=b"x") as port, pytest.raises(BrokerError, match="WebSocket"):
        probe(port, "websockets")
    assert time.monotonic() - started_s < 5
    eventually(lambda: not any(thread.name == "publisher-dial" for thread in threading.enumerate()))


def test_a_message_on_a_topic_that_is_no_text_is_not_heard() -> None:
    with (
        odd(WELCOME, b"\x30\x06\x00\x02\xff\xfe\x00\x41") as port,
        pytest.raises(BrokerError, match="acknowledged nothing"),
    ):
        probe(port)


def test_a_password_that_mqtt_cannot_carry_is_named(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("x" * 70_000)
    for name in (str(tmp_path / "password"), "/dev/zero"):
        with odd(WELCOME) as port, pytest.raises(BrokerError, match=r"password.*65535.*mqtt\.password_file"):
            probe(port, username="porch", password_file=name)


@pytest.mark.parametrize("words", [("listen",), ("tell", "porch", "look", "gate", "--timeout-s", "3")])
def test_who_may_not_listen_is_told_so(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with odd(WELCOME, b"\x90\x04\x00\x01\x00\x87") as port:
        (tmp_path / "edge.toml").write_text(
            f'[device]\nid = "porch"\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n[cameras.yard]\nsource = 0\n'
            '[models.gate]\nfile = "gate.tflite"\n[watches.gate]\ncamera = "yard"\nmodel = "gate"\n'
        )
        assert main([*words, "--config", str(tmp_path / "edge.toml")]) == 69
    assert "does not let this device hear sightpost/porch/" in capsys.readouterr().err
