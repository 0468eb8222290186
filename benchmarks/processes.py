"""What a family of processes costs, as proc(5) has it, and the daemon run on a configuration and listened to."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TICKS_HZ = os.sysconf("SC_CLK_TCK")


class Running:
    """A ``sightpost run``: its process, when it was started, and how many answers of each watch have arrived."""

    def __init__(
        self, process: subprocess.Popen[bytes], started_s: float, hear: Callable[[bytes], None] = lambda _: None
    ) -> None:
        self.process = process
        self.started_s = started_s
        self.first_s: float | None = None
        self.answers: Counter[str] = Counter()
        self._hear = hear
        self._first = threading.Event()

    def wait_for_answer(self, timeout_s: float = 30.0) -> float:
        """Seconds from the start to the first answer at the subscriber."""
        if not self._first.wait(timeout_s) or self.first_s is None:
            raise TimeoutError("no answer came")
        return self.first_s - self.started_s

    def on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        """Count it, and hand it on."""
        self._hear(bytes(message.payload))
        if self.first_s is None:
            self.first_s = time.perf_counter()
            self._first.set()
        self.answers[message.topic.split("/")[-2]] += 1


@contextlib.contextmanager
def running(
    tables: str, port: int, hear: Callable[[bytes], None] = lambda _: None, state_dir: Path | str = "state"
) -> Iterator[Running]:
    """Run the daemon on cameras, models and watches, against the broker at a port of the loopback interface.

    ``hear`` gets the payload of every answer as it arrives. A ``state_dir`` of the caller's outlives the run.
    """
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.subscribe("sightpost/bench/+/answer", qos=0)
    client.loop_start()
    subscribed.wait(5)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "edge.toml"
        config.write_text(
            f'[device]\nid = "bench"\nstate_dir = "{state_dir}"\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n{tables}'
        )
        command = [
            str(Path(sys.executable).with_name("sightpost")),
            "run",
            "--config",
            str(config),
            "--log-level",
            "error",
        ]
        started_s = time.perf_counter()
        run = Running(subprocess.Popen(command), started_s, hear)
        client.on_message = run.on_message
        try:
            yield run
        finally:
            run.process.terminate()
            run.process.wait(30)
            client.loop_stop()
            client.disconnect()


def family(pid: int) -> list[int]:
    """A process and all that came of it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family(int(child)))]


def cpu_s(pids: list[int]) -> float:
    """Processor seconds, user and system."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS_HZ


def memory_mb(pid: int, what: str = "Pss") -> float:
    """``Pss`` (shared pages divided among those who share them) or ``Rss`` of a process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    return 0.0
