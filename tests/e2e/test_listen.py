"""Listening to a device with the real command."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from brokers import eventually, free_port, mosquitto
from commands import COMMANDS
from delivery import TOPICS, change

from edge.cli import main
from edge.config import MqttConfig, OutboxConfig
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.record import Post

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brokers import Broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def publisher(tmp_path: Path, broker: Broker) -> Iterator[Outbox]:
    outbox = Outbox.open(tmp_path / "outbox.sqlite3", OutboxConfig())
    publisher = Publisher(outbox, MqttConfig(host="127.0.0.1", port=broker.port), TOPICS)
    publisher.start()
    yield outbox
    publisher.stop()
    outbox.close()


def listen(folder: Path, port: int, *options: str) -> subprocess.Popen[str]:
    config = folder / "edge.toml"
    config.write_text(
        f'[device]\nid = "porch"\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n[cameras.yard]\nsource = 0\n'
        '[models.gate]\nfile = "gate.tflite"\n[watches.gate]\ncamera = "yard"\nmodel = "gate"\n'
    )
    command = [COMMANDS / "sightpost", "listen", "--config", config, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_person_reads_what_happens(tmp_path: Path, broker: Broker, publisher: Outbox) -> None:
    publisher.put(*change("open"))
    eventually(lambda: publisher.stats().delivered == 1)
    listening = listen(tmp_path, broker.port, "--count", "4")
    assert listening.stdout is not None
    early = [listening.stdout.readline(), listening.stdout.readline()]  # what is retained
    publisher.put(*change("zu\x1b[31m\u202e\n"))
    late, errors = listening.communicate(timeout=30)
    assert listening.returncode == 0, errors
    said = "".join(early) + late
    assert "porch is online" in said
    assert "gate is open (75%)  [as of earlier]" in said
    assert "gate begins with zu" in late
    assert len(said.splitlines()) == 4
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_a_program_reads_everything(tmp_path: Path, broker: Broker, publisher: Outbox) -> None:
    publisher.put(Post(TOPICS.state("gate"), b"\xff\xd8 a picture", retain=True))
    eventually(lambda: publisher.flush(1) and not publisher.states(only_dirty=True))
    said, errors = listen(tmp_path, broker.port, "--count", "2", "--json").communicate(timeout=30)
    messages = {message["topic"]: message for message in map(json.loads, said.splitlines())}
    assert messages[TOPICS.status]["payload"]["status"] == "online", errors
    assert messages[TOPICS.state("gate")]["payload_base64"]


def test_a_broker_that_goes_away_is_waited_for(tmp_path: Path, broker: Broker, publisher: Outbox) -> None:
    listening = listen(tmp_path, broker.port)
    assert listening.stdout is not None
    assert "online" in listening.stdout.readline()
    broker.kill()
    broker.start()
    publisher.put(*change("back"))
    while "gate is back" not in (said := listening.stdout.readline()):
        assert said
    listening.send_signal(signal.SIGINT)
    _, errors = listening.communicate(timeout=30)
    assert listening.returncode == 130
    assert "waiting for it" in errors


def test_no_broker_is_an_error(tmp_path: Path) -> None:
    listening = listen(tmp_path, free_port())
    _, errors = listening.communicate(timeout=30)
    assert listening.returncode == 69
    assert "nothing listens there" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("listen", "--device", "a#"),
        ("listen", "--device", "\udcff"),
        ("listen", "--count", "-1"),
        ("tell", "+", "look", "gate"),
        ("tell", "porch", "look", "gate", "--timeout-s", "nan"),
    ],
)
def test_what_cannot_be_asked_for_is_a_wrong_command_line(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*words, "--config", "edge.toml"])
    assert end.value.code == 64
    assert "Traceback" not in capsys.readouterr().err
