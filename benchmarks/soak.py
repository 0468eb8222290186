"""Does it stay as it is for hours? Memory, threads and descriptors of the daemon and all of its processes, over time.

    python benchmarks/soak.py --minutes 60 [--model gate.tflite] [--clip yard.mp4]

Two simulated cameras and a recording that is played again and again, every answer published, pictures with events.
Meanwhile the broker is killed and started again every two minutes, the configuration is reloaded every minute, and
commands come all the time. What counts is the last quarter against the second: the first is warming up.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from processes import cpu_s, family, memory_mb
from publishing import Broker

SAMPLE_S = 10.0
BROKER_EVERY_S, BROKER_AWAY_S = 120.0, 5.0
RELOAD_EVERY_S = 60.0
COMMAND_EVERY_S = 2.0
ALLOWED_GROWTH = 0.05
"""What the last quarter's memory may have over the second's: an allocator is never quite still."""
TINY = Path(__file__).parent.parent / "tests" / "models.py"
COMMANDS = ("look/left", "snapshot/left", "pause/right", "resume/right", "nonsense/left")


@dataclass(frozen=True, slots=True)
class Sample:
    """The daemon and its processes at one time.

    Memory is what belongs to them, shared among those who share it; not the pages of program files, of which others
    that run the same may carry a part and drop it.
    """

    at_s: float
    daemon_mb: float
    family_mb: float
    processes: int
    threads: int
    descriptors: int


def main() -> int:
    """Run, print samples as JSON lines, and say in the end whether anything grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--model", type=Path, help="a model file of ours; left out, a tiny one is made")
    parser.add_argument("--clip", type=Path, help="a recording; left out, one is made")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sightpost-soak-") as name:
        folder = Path(name)
        model = arguments.model or _tiny(folder / "tiny.tflite")
        clip = arguments.clip or _clip(folder / "clip.avi")
        broker = Broker(folder)
        broker.start()
        config = folder / "edge.toml"
        config.write_text(_tables(broker.port, model, clip, interval_s=0.2))
        with (folder / "log.txt").open("wb") as log:
            daemon = subprocess.Popen(
                [Path(sys.executable).with_name("sightpost"), "run", "--config", config], stderr=log
            )
        heard = _Heard(broker.port)
        try:
            samples = _soak(daemon, broker, heard, config, arguments.minutes * 60.0, model, clip)
            used_s = cpu_s(family(daemon.pid))
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(60)
            heard.close()
            broker.stop()
        lines = len((folder / "log.txt").read_text().splitlines())
    return _judge(samples, heard, lines, used_s, daemon.returncode)


def _soak(
    daemon: subprocess.Popen[bytes],
    broker: Broker,
    heard: _Heard,
    config: Path,
    duration_s: float,
    model: Path,
    clip: Path,
) -> list[Sample]:
    started_s = time.monotonic()
    samples: list[Sample] = []
    due = {"sample": 15.0, "broker": BROKER_EVERY_S, "reload": RELOAD_EVERY_S, "command": 20.0}
    intervals, commands = itertools.cycle((0.3, 0.2)), itertools.cycle(COMMANDS)
    while (now_s := time.monotonic() - started_s) < duration_s:
        if daemon.poll() is not None:
            raise SystemExit(f"the daemon has ended with {daemon.returncode}")
        if now_s >= due["sample"]:
            due["sample"] = now_s + SAMPLE_S
            samples.append(_sample(daemon.pid, now_s))
            print(json.dumps(asdict(samples[-1])), flush=True)
        if now_s >= due["broker"]:
            due["broker"] = now_s + BROKER_EVERY_S
            broker.stop()
            time.sleep(BROKER_AWAY_S)
            broker.start()
        if now_s >= due["reload"]:
            due["reload"] = now_s + RELOAD_EVERY_S
            config.write_text(_tables(broker.port, model, clip, interval_s=next(intervals)))
            daemon.send_signal(signal.SIGHUP)
        if now_s >= due["command"]:
            due["command"] = now_s + COMMAND_EVERY_S
            heard.tell(next(commands))
        time.sleep(0.2)
    return samples


class _Heard:
    """A subscriber that counts, and gives commands."""

    def __init__(self, port: int) -> None:
        self.counts: dict[str, int] = {}
        self.status: dict[str, object] = {}
        self._lock = threading.Lock()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("sightpost/soak/#")
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def tell(self, tail: str) -> None:
        if self._client.is_connected():
            self._client.publish(f"sightpost/soak/cmd/{tail}", b"", qos=0)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.rsplit("/", 1)[1]
        with self._lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1
        if message.topic == "sightpost/soak/status":
            status = json.loads(message.payload)
            if status["outbox"] is not None:
                self.status = status["outbox"]


def _sample(pid: int, at_s: float) -> Sample:
    members = family(pid)
    return Sample(
        round(at_s, 1),
        round(_own_mb(pid), 1),
        round(sum(_own_mb(member) for member in members), 1),
        len(members),
        sum(len(os.listdir(f"/proc/{member}/task")) for member in members),  # noqa: PTH208  only how many
        sum(len(os.listdir(f"/proc/{member}/fd")) for member in members),  # noqa: PTH208  likewise
    )


def _own_mb(pid: int) -> float:
    return memory_mb(pid, "Pss_Anon") + memory_mb(pid, "Pss_Shmem")


def _judge(samples: list[Sample], heard: _Heard, lines: int, used_s: float, code: int) -> int:
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    grown = []
    for name in ("daemon_mb", "family_mb", "threads", "descriptors", "processes"):
        before, after = (statistics.median(getattr(each, name) for each in part) for part in (early, late))
        allowed = before * (1 + ALLOWED_GROWTH) if name.endswith("_mb") else before
        print(f"{name:<12} second quarter {before:8.1f}   last quarter {after:8.1f}   {after - before:+.1f}")
        if after > allowed:
            grown.append(name)
    print(f"heard {heard.counts}; outbox {heard.status}; {lines} lines in the log; {used_s:.0f} s of CPU; exit {code}")
    print(f"GROWN: {', '.join(grown)}" if grown else "flat")
    return 1 if grown or code else 0


def _tables(port: int, model: Path, clip: Path, *, interval_s: float) -> str:
    """The configuration; ``interval_s`` is of one watch."""

    def watch(name: str, camera: str, interval_s: float) -> str:
        return (
            f'[watches.{name}]\ncamera = "{camera}"\nmodel = "model"\ninterval_s = {interval_s}\nanswers = true\n'
            f"[watches.{name}.picture]\n"
        )

    return (
        f'[device]\nid = "soak"\nstate_dir = "state"\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n'
        '[commands]\nallow = ["look", "snapshot", "pause", "resume"]\n'
        f'[models.model]\nfile = "{model}"\n'
        '[cameras.left]\nsource = "scene:gate"\nrate_hz = 10\n[cameras.right]\nsource = "scene:gate"\nrate_hz = 5\n'
        f'[cameras.loop]\nsource = "{clip}"\nloop = true\n'
        + watch("left", "left", 0.1)
        + watch("right", "right", interval_s)
        + watch("loop", "loop", 0.5)
    )


def _tiny(path: Path) -> Path:
    subprocess.run([sys.executable, TINY, path, "open", "shut", "else"], check=True)
    return path


def _clip(path: Path) -> Path:
    """Three seconds in which the picture changes from red to green to blue."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (320, 240))
    for number in range(30):
        image = np.full((240, 320, 3), 30, np.uint8)
        image[:, :, number // 10] = 220
        writer.write(image)
    writer.release()
    return path


if __name__ == "__main__":
    sys.exit(main())
