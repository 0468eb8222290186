"""Teaching by the real command, while a real daemon looks."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from brokers import Subscriber, eventually, mosquitto
from commands import COMMANDS, command
from models import COLORS, plain, tiny_model

from edge.cli import main


@pytest.fixture
def yard(tmp_path: Path) -> Path:
    """Pictures of each colour in a folder of their own, and one that is seen now."""
    for color in (*COLORS, "now"):
        (tmp_path / color).mkdir()
        for number in range(4):
            light = np.random.default_rng(number).uniform(0.5, 1.0, (6, 8))  # else the camera seems to be covered
            pattern = cv2.resize(light, (32, 24), interpolation=cv2.INTER_NEAREST)[..., None]
            image = (plain("red" if color == "now" else color) * pattern).astype(np.uint8)
            cv2.imwrite(str(tmp_path / color / f"{number}.png"), image)
    return tmp_path


def teach(config: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return command("sightpost", "teach", "gate", "--config", config, *arguments)


def configured(folder: Path, port: int = 1883) -> Path:
    tiny_model(kind="embed").write(folder / "vectors.tflite")
    config = folder / "edge.toml"
    config.write_text(
        f"""
[device]
id = "test"
state_dir = "state"
[mqtt]
host = "127.0.0.1"
port = {port}
[cameras.yard]
source = "now"
loop = true
rate_hz = 10
frozen_after_s = 0
[models.vectors]
file = "vectors.tflite"
[watches.gate]
camera = "yard"
model = "vectors"
kind = "teach"
interval_s = 0.1
"""
    )
    return config


def test_a_daemon_answers_with_a_class_as_soon_as_it_is_taught(yard: Path) -> None:
    with mosquitto(yard) as broker, Subscriber(broker.port) as subscriber:
        config = configured(yard, broker.port)
        daemon = subprocess.Popen(
            [COMMANDS / "sightpost", "run", "--config", config], stderr=subprocess.PIPE, text=True
        )
        try:
            eventually(lambda: subscriber.payloads("gate/state"))
            green = teach(config, "--label", "shut", "--pictures", yard / "green")
            red = teach(config, "--label", "open", "--shots", "3", "--every-s", "0")
            eventually(lambda: subscriber.payloads("gate/state")[-1]["label"] == "open")
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.communicate(timeout=60)
        states = subscriber.payloads("gate/state")
    assert (green.returncode, red.returncode) == (0, 0), green.stderr + red.stderr
    assert "shut: 4 pictures learnt, 4 in all" in green.stdout
    assert "it knows: shut (4), open (3)" in red.stdout
    assert (states[0]["label"], states[0]["reason"]) == ("stale", "nothing is taught yet; see sightpost teach")
    assert (states[-1]["kind"], states[-1]["model"]["name"]) == ("classify", "colors")


def test_what_is_known_can_be_told_and_forgotten(yard: Path) -> None:
    config = configured(yard)
    assert teach(config).stdout == "nothing is taught yet\n"
    damaged = yard / "green" / "0.png"
    damaged.write_bytes(b"no picture")
    taught = teach(config, "--label", "x", "--pictures", yard / "green", "--cut")
    assert taught.returncode == 0
    assert "x: 3 pictures learnt" in taught.stdout
    assert "green/0.png" in taught.stderr
    wrong = teach(config, "--forget", "y")
    assert wrong.returncode == 64
    assert "there is no such label" in wrong.stderr
    assert teach(config, "--forget", "x").stdout.endswith("taught yet\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["door"], "no watch of kind 'teach'"),
        (["gate", "--label", "stale"], "has a meaning of its own"),
        (["gate", "--label", ""], "is empty"),
        (["gate", "--label", b"\xff", "--pictures", "red"], "is no UTF-8 text"),
        (["gate", "--forget", ""], "there is no such label"),
        (["gate", "--pictures", "green"], "--label"),
        (["gate", "--pictures", "green", "--forget", "y"], "takes no --pictures"),
        (["gate", "--label", "x", "--forget", "y"], "not allowed with"),
        (["gate", "--label", "x", "--every-s", "nan"], "give a number of seconds from 0 to 3600"),
    ],
)
def test_what_cannot_be_taught_is_told(
    yard: Path, arguments: list[str | bytes], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["teach", *map(os.fsdecode, arguments), "--config", str(configured(yard))])
    except SystemExit as end:  # of argparse
        code = end.code  # type: ignore[assignment]
    assert (code, said in (told := capsys.readouterr().err)) == (64, True), told
