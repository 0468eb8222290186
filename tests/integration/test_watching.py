"""A real daemon, the simulated gate, a real broker: what watches with all their rules say."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from brokers import Subscriber, eventually, mosquitto
from commands import COMMANDS
from models import tiny_model

CONFIG = """
[device]
id = "porch"
state_dir = "state"
[mqtt]
host = "127.0.0.1"
port = {port}
[cameras.yard]
source = "scene:gate"
rate_hz = 10
[models.colors]
file = "colors.tflite"

[watches.smooth]
camera = "yard"
model = "colors"
interval_s = 0
smooth_s = 0.5
leave_score = 0.3
polygon = [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8]]
samples = {{ random = 1.0, interval_s = 0, max_count = 5 }}

[watches.moved]
camera = "yard"
model = "colors"
interval_s = 0
cadence = "motion"
motion = {{ threshold = 254, keep_s = 0 }}

[watches.told]
camera = "yard"
model = "colors"
cadence = "command"

[watches.closed]
camera = "yard"
model = "colors"
interval_s = 0.2
roi_px = [0, 0, 9000, 100]
"""


def test_each_watch_keeps_its_own_rules(tmp_path: Path) -> None:
    tiny_model().write(tmp_path / "colors.tflite")
    config = tmp_path / "edge.toml"
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        config.write_text(CONFIG.format(port=broker.port))
        daemon = subprocess.Popen(
            [COMMANDS / "sightpost", "run", "--config", config], stderr=subprocess.PIPE, text=True
        )
        try:
            shelf = tmp_path / "state" / "samples" / "smooth"
            eventually(lambda: subscriber.on("smooth/state") and subscriber.on("closed/state"), 60)
            eventually(lambda: len(list(shelf.glob("*.jpg"))) >= 5, 60)
        finally:
            daemon.send_signal(signal.SIGTERM)
            _, said = daemon.communicate(timeout=60)
        states = {name: subscriber.payloads(f"{name}/state") for name in ("smooth", "moved", "told", "closed")}
        resting = {name: subscriber.payloads(f"{name}/status")[-1]["resting"] for name in states}
    assert daemon.returncode == 0, said
    assert states["smooth"][0]["label"] in {"red", "green", "blue"}
    assert [state["count"] for state in states["moved"]] == [1], "one look, and then nothing moves that much"
    assert states["told"] == []
    assert states["closed"][0]["label"] == "stale"
    assert "reaches to 9000x100 pixels" in states["closed"][0]["reason"]
    assert resting["told"] == "it looks on command only"
    assert {resting[name] for name in ("smooth", "moved", "closed")} == {None}
    kept = sorted(shelf.iterdir())
    assert len(kept) == 10
    assert json.loads(kept[-1].read_text())["watch"] == "smooth"
