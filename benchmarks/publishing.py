"""What the benchmarks of delivery share: a real mosquitto, and something to say."""

from __future__ import annotations

import socket
import subprocess
import time
from typing import TYPE_CHECKING

from edge.config import MqttConfig
from edge.messages import Clock, Model, Score, StateMessage, Topics, changed, utc

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from edge.record import Post


class Broker:
    """A mosquitto on a free port that keeps what it is given when it is stopped."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        path = folder / "mosquitto.conf"
        keep = ("persistence true", f"persistence_location {folder}/", "max_queued_messages 0")
        listen = (f"listener {self.port} 127.0.0.1", "allow_anonymous true", "user root")
        path.write_text("\n".join((*listen, *keep, *lines)) + "\n")
        self._command = ["mosquitto", "-c", str(path)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + 10.0
        while time.monotonic() < deadline_s:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise TimeoutError("mosquitto does not listen")

    def stop(self) -> None:
        """Stop it in order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """Find a TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(port: int) -> MqttConfig:
    """Configure a publisher for a broker here; a backlog is sent as fast as it goes."""
    return MqttConfig(host="127.0.0.1", port=port, replay_rate_hz=0)


def change(topics: Topics, label: str, watch: str = "gate") -> tuple[Post, Post]:
    """Make the posts of a watch that says something new, as large as they are in the field."""
    state = StateMessage(
        device=topics.device,
        watch=watch,
        camera="yard",
        kind="classify",
        label=label,
        score=0.9876,
        top=(Score(label, 0.9876), Score("closed", 0.0114), Score("ajar", 0.001)),
        captured_at=utc(time.time()),
        clock=Clock(quality="synchronized", boot_id="0" * 36, monotonic_s=round(time.monotonic(), 6)),
        model=Model(name="gate", version="3"),
    )
    return changed(topics, state, previous=None)
