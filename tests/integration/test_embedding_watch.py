"""Feature vectors from a camera to a subscriber through a real broker, in every encoding."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from brokers import Subscriber, eventually, mosquitto
from commands import COMMANDS
from models import COLORS, plain, tiny_model

from edge.model import Model
from edge.packed import PackedArray
from edge.vectors import unit, unpack


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, color in enumerate(COLORS):
        cv2.imwrite(str(folder / f"{number}.png"), plain(color))
    return folder


def run_daemon(tmp_path: Path, port: int, model: Path, pictures: Path, watch: str) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(
        f"""
[device]
id = "test"
state_dir = "state"
[mqtt]
host = "127.0.0.1"
port = {port}
[cameras.yard]
source = "{pictures}"
pace = "fast"
[models.vectors]
file = "{model}"
[watches.yard]
camera = "yard"
model = "vectors"
interval_s = 0
{watch}
"""
    )
    daemon = subprocess.Popen([COMMANDS / "sightpost", "run", "--config", config], stderr=subprocess.PIPE, text=True)
    try:
        _, messages = daemon.communicate(timeout=60)
    finally:
        if daemon.poll() is None:
            daemon.send_signal(signal.SIGKILL)
            daemon.wait()
    assert daemon.returncode == 0, messages


@pytest.mark.parametrize("encoding", ["float16", "int8", "list"])
def test_every_look_arrives_as_a_vector_that_decodes_to_what_the_model_said(
    encoding: str, tmp_path: Path, pictures: Path
) -> None:
    path = tiny_model(kind="embed").write(tmp_path / "embed.tflite")
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        run_daemon(tmp_path, broker.port, path, pictures, f'encoding = "{encoding}"')
        eventually(lambda: len(subscriber.on("/embedding")) >= 3)
        heard = subscriber.on("/embedding")
    model = Model.load(path)
    wanted = [model.predict(plain(color)).embedding for color in COLORS]
    assert [message.topic for message in heard] == ["sightpost/test/yard/embedding"] * 3
    for message, vector in zip(heard, wanted, strict=True):
        payload = message.payload
        packed = msgspec.convert(payload["embedding"], PackedArray)
        assert packed.encoding == encoding
        assert vector is not None
        np.testing.assert_allclose(unpack(packed), vector, atol=1.0, rtol=0.01)
        assert (payload["watch"], payload["l2"], payload["model"]["name"]) == ("yard", False, "colors")
    assert [message.payload["sequence"] for message in heard] == [1, 2, 3]
    assert not any(message.retain for message in heard)
    assert not subscriber.on("/state")


def test_a_model_with_scores_gives_its_vectors_where_the_watch_asks_for_them(tmp_path: Path, pictures: Path) -> None:
    path = tiny_model(outputs=("scores", "embedding")).write(tmp_path / "both.tflite")
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        run_daemon(tmp_path, broker.port, path, pictures, 'output = "embedding"\nl2 = true')
        eventually(lambda: len(subscriber.on("/embedding")) >= 3)
        first = subscriber.payloads("/embedding")[0]
    vector = unpack(msgspec.convert(first["embedding"], PackedArray))
    assert np.linalg.norm(vector) == pytest.approx(1, abs=2e-3)
    truth = Model.load(path).predict(plain(COLORS[0])).embedding
    assert truth is not None
    np.testing.assert_allclose(vector, unit(truth), atol=2e-3)
