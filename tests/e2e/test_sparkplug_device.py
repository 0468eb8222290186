"""A device that is configured for Sparkplug, from its pictures to a host application."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
from brokers import eventually, mosquitto
from hosts import Host
from models import plain, tiny_model

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_host_hears_births_data_and_the_end(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number, color in enumerate(("red", "green", "blue")):
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), plain(color))
    tiny_model().write(tmp_path / "colors.tflite")
    config = tmp_path / "edge.toml"
    with mosquitto(tmp_path) as broker, Host(broker.port) as host:
        config.write_text(
            f'[device]\nid = "porch"\nstate_dir = "state"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
            '[sparkplug]\ngroup_id = "plant 1"\n[cameras.yard]\nsource = "pictures"\nrate_hz = 1\n'
            '[models.colors]\nfile = "colors.tflite"\n'
            '[watches.gate]\ncamera = "yard"\nmodel = "colors"\ninterval_s = 0\n[watches.gate.picture]\n'
        )
        for restart in range(2):
            done = run("sightpost", "run", "--config", config)
            assert done.returncode == 0, done.stderr
            eventually(lambda restart=restart: len(host.of("NDEATH")) == restart + 1)  # type: ignore[misc]
        assert host.labels()[-3:] == ["red", "green", "blue"]
        assert [birth.values["bdSeq"] for birth in host.of("NBIRTH")] == sorted(
            birth.values["bdSeq"] for birth in host.of("NBIRTH")
        )
        assert {death.values["bdSeq"] for death in host.of("NDEATH")} == {0, 1}
        assert host.of("NBIRTH")[-1].values["gate/label"] == "blue", "what the first run left is known to the second"
        assert "sightpost/porch/gate/image" in host.other_topics
        assert not any(topic.endswith(("gate/state", "gate/event", "porch/status")) for topic in host.other_topics)
