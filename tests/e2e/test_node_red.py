"""The example flow in a real Node-RED hears a real device (``make test-node-red``)."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import pytest
from brokers import eventually, free_port, mosquitto
from models import plain

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.slow


@contextmanager
def node_red(program: Path, folder: Path, flow: list[dict[str, Any]]) -> Iterator[Callable[[], dict[str, Any]]]:
    """A Node-RED with this flow and no editor; gives what it answers at /sightpost."""
    port = free_port()
    folder.mkdir()
    (folder / "flow.json").write_text(json.dumps(flow))
    (folder / "settings.js").write_text(
        f'module.exports = {{uiHost: "127.0.0.1", uiPort: {port}, httpAdminRoot: false, telemetry: {{enabled: false}}}}'
    )

    def asked() -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/sightpost", timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError:  # not yet
            return {}

    with (
        (folder / "log.txt").open("wb") as log,
        subprocess.Popen(
            [program, "--userDir", folder, "--settings", folder / "settings.js", folder / "flow.json"],
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            eventually(lambda: "states" in asked(), 60, "Node-RED answers")
            eventually(lambda: "Connected to broker" in (folder / "log.txt").read_text(), 30)
            yield asked
        finally:
            process.terminate()
            process.wait(20)


def test_the_example_flow_shows_states_and_events(repository: Path, run: Run, model_path: Path, tmp_path: Path) -> None:
    program = repository / ".node-red" / "node_modules" / ".bin" / "node-red"
    if not program.exists():
        pytest.skip("no Node-RED here: make test-node-red")
    flow = json.loads((repository / "examples" / "node-red" / "flow.json").read_text())
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, color in enumerate(("red", "green")):
        cv2.imwrite(str(pictures / f"{number}.png"), plain(color))
    with mosquitto(tmp_path) as broker:
        [its_broker] = [node for node in flow if node["type"] == "mqtt-broker"]
        its_broker |= {"broker": "127.0.0.1", "port": str(broker.port)}
        config = tmp_path / "edge.toml"
        config.write_text(
            f'[device]\nid = "porch"\nstate_dir = "state"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
            f'[cameras.yard]\nsource = "{pictures}"\nrate_hz = 2\n[models.gate]\nfile = "{model_path}"\n'
            '[watches.gate]\ncamera = "yard"\nmodel = "gate"\ninterval_s = 0\n'
        )
        with node_red(program, tmp_path / "node-red", flow) as asked:
            done = run("sightpost", "run", "--config", config)
            assert done.returncode == 0, done.stderr
            eventually(lambda: len(asked()["events"]) == 2, 20)
            shown = asked()
    assert shown["states"]["porch/gate"]["label"] == "green"
    assert [(event["previous"], event["label"]) for event in shown["events"]] == [(None, "red"), ("red", "green")]
