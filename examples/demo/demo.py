"""``make demo``: the whole of Sightpost on a simulated camera, with the real commands, in about two minutes.

Pictures of a simulated gate are rendered, a model is trained on them from nothing, quantized to int8 and proven; then
the real daemon looks at the simulated gate and says over MQTT what it sees, through a broker that comes along.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console

from edge.camera.scene import STATES, GateScene, write_pictures
from edge.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.frame import Image

HERE = Path(__file__).parent
COMMANDS = Path(sys.executable).parent
PER_STATE = 100
TRAINING_SEED, UNSEEN_SEED = 1, 7
RATE_HZ = 10.0
COLORS = {"shut": "green", "open": "yellow", "blocked": "red"}


def main() -> int:
    """Run the demonstration; 0 when everything did what it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for everything it makes (default: demo)")
    parser.add_argument("--seconds", type=float, default=25.0, help="how long the daemon looks (default: 25)")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False, soft_wrap=True)
    console.rule("[bold]1[/bold]  a simulated camera: a gate, by day and night")
    write_pictures(out / "pictures", PER_STATE, TRAINING_SEED)
    console.print(
        f"{PER_STATE} pictures of each state in {out / 'pictures'} (rendered by Sightpost, nothing in them is real)"
    )
    console.rule("[bold]2[/bold]  train, quantize and prove: sightpost-train fit")
    trained = train(out)
    console.rule("[bold]3[/bold]  the daemon: sightpost run, and what an MQTT subscriber hears")
    events = watch(out, arguments.seconds, console)
    console.rule("[bold]4[/bold]  how right, how fast")
    checked = judge(out)
    conclude(out, trained, events, checked, console)
    return 0 if events and checked.right > len(checked.states) * 0.8 else 1


def train(out: Path) -> dict[str, Any]:
    """Train with the real command; its result as it prints it for machines."""
    command: list[str | Path] = [
        COMMANDS / "sightpost-train", "fit", out / "pictures", "--recipe", HERE / "recipe.toml",
        "--out", out / "gate.tflite", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return dict(json.loads(done.stdout))


def watch(out: Path, seconds: float, console: Console) -> int:
    """Run broker, subscriber and daemon; the number of events that the subscriber heard."""
    # What an earlier demonstration had not delivered would come first and only puzzle.
    shutil.rmtree(out / "state", ignore_errors=True)
    port = free_port()
    config = out / "edge.toml"
    config.write_text(
        f"""[device]
id = "demo"
state_dir = "state"

[mqtt]
host = "127.0.0.1"
port = {port}

[cameras.yard]
source = "scene:gate"
rate_hz = {RATE_HZ}

[models.gate]
file = "gate.tflite"

[watches.gate]
camera = "yard"
model = "gate"
interval_s = 0.2
hold_s = 0.4
""",
        encoding="utf-8",
    )
    with process([sys.executable, HERE / "broker.py", str(port)]):
        wait_for_port(port)
        listener = Listener(console)
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.on_connect = listener.subscribe
        client.on_message = listener.hear
        client.connect("127.0.0.1", port)
        client.loop_start()
        with process([COMMANDS / "sightpost", "run", "--config", config, "--log-level", "warning"]):
            time.sleep(seconds)
        time.sleep(0.5)
        client.disconnect()
        client.loop_stop()
    return listener.events


class Listener:
    """An ordinary MQTT subscriber that prints what it hears."""

    def __init__(self, console: Console) -> None:
        self.events = 0
        self._console = console

    def subscribe(self, client: mqtt.Client, *_: object) -> None:
        """Ask for everything, as soon as the broker has let us in."""
        client.subscribe("sightpost/#", qos=1)

    def hear(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        """Print one message."""
        said = json.loads(message.payload)
        text = said.get("status", "")
        if "label" in said:
            color = COLORS.get(said["label"], "white")
            text = f"[{color}]{said['label']:<8}[/{color}] score {said['score']:.2f}"
        if message.topic.endswith("/event"):
            self.events += 1
            text += f"   (before: {said['previous']})"
        at = (said.get("captured_at") or said.get("at") or said.get("since") or "")[11:23]
        self._console.print(f"[dim]{at:<12}[/dim]  {message.topic:<36} {text}")


@dataclass(frozen=True)
class Checked:
    """The model's answers to a story that it has never seen, beside the truth."""

    frames: list[Image]
    states: list[str]
    answers: list[tuple[str, float]]
    picture_ms: float

    @property
    def right(self) -> int:
        """How many answers are true."""
        return sum(state == label for state, (label, _) in zip(self.states, self.answers, strict=True))


def judge(out: Path) -> Checked:
    """Ask the model file, through the device's code, about frames of another story, of which the truth is known."""
    model = Model.load(out / "gate.tflite")
    scene = GateScene(UNSEEN_SEED, RATE_HZ)
    numbers = range(0, 1500, 5)
    frames = [scene.frame(number) for number in numbers]
    began = time.perf_counter()
    predictions = [model.predict(frame) for frame in frames]
    picture_ms = (time.perf_counter() - began) / len(frames) * 1000
    answers = [(prediction.label, prediction.score) for prediction in predictions]
    return Checked(frames, [scene.state_at(number) for number in numbers], answers, picture_ms)


def conclude(out: Path, trained: dict[str, Any], events: int, checked: Checked, console: Console) -> None:
    """The last lines, and the picture."""
    picture = out / "gate.png"
    cv2.imwrite(str(picture), contact_sheet(checked))
    int8, share = trained["int8"], checked.right / len(checked.states)
    console.print(
        f"trained   MobileNetV2 0.35 from nothing on {PER_STATE * len(STATES)} simulated pictures: {', '.join(STATES)}"
    )
    console.print(
        f"right     {int8['accuracy']:.1%} of {int8['pictures']} held-out pictures (float "
        f"{trained['float']['accuracy']:.1%}), {share:.1%} of {len(checked.states)} frames of a story it never saw"
    )
    console.print(
        f"fast      {checked.picture_ms:.1f} ms a frame here, crop and resize included; {trained['bytes'] / 1e6:.1f} MB"
    )
    console.print(f"heard     {events} events over MQTT")
    console.print(
        f"files     {out / 'gate.tflite'} (the model)  {out / 'edge.toml'} (the configuration)  {picture} (look at it)"
    )


def contact_sheet(checked: Checked) -> Image:
    """Two frames of each state, by day and by night, with the answer drawn on them."""
    tiles = []
    for state in STATES:
        places = [index for index, truth in enumerate(checked.states) if truth == state]
        places.sort(key=lambda index: float(checked.frames[index].mean()))
        chosen = (places[-1], places[len(places) // 2], places[0])
        tiles += [with_answer(checked.frames[index], *checked.answers[index], truth=state) for index in chosen]
    rows = [np.hstack(tiles[start : start + 3]) for start in range(0, len(tiles), 3)]
    return np.asarray(np.vstack(rows), dtype=np.uint8)


def with_answer(frame: Image, label: str, score: float, *, truth: str) -> Image:
    """A frame, ``(H, W, 3) uint8 BGR``, with what the model says of it."""
    tile = np.asarray(cv2.resize(frame, (480, 270), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    color = (80, 220, 80) if label == truth else (60, 60, 255)
    cv2.rectangle(tile, (0, 232), (480, 270), (30, 30, 30), thickness=-1)
    cv2.putText(tile, f"{label}  {score:.2f}", (12, 259), cv2.FONT_HERSHEY_SIMPLEX, 0.8, color, 2, cv2.LINE_AA)
    return tile


@contextmanager
def process(command: list[Any]) -> Iterator[subprocess.Popen[bytes]]:
    """A child process that is asked to end, and waited for."""
    child = subprocess.Popen([str(part) for part in command])
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, timeout_s: float = 20.0) -> None:
    """Wait until somebody listens there."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
