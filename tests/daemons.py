"""The real daemon, looking at two pictures in turn with a tiny model: it has something to say many times a second."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np
from brokers import eventually
from commands import COMMANDS
from models import plain, tiny_model

if TYPE_CHECKING:
    from collections.abc import Sequence


class Daemon:
    """A ``sightpost run`` that may be killed and started again on the same state directory."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        rate_hz: float = 20.0,
        camera: str = "",
        mqtt: str = "",
        prefix: Sequence[object] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        pictures = folder / "pictures"
        pictures.mkdir()
        texture = np.random.default_rng(1).integers(0, 120, (48, 64, 1), np.uint8)  # one colour alone is a covered lens
        for number, color in enumerate(("red", "green")):
            picture = cv2.addWeighted(plain(color, height_px=48, width_px=64), 0.8, texture.repeat(3, axis=2), 0.6, 0)
            cv2.imwrite(str(pictures / f"{number}.png"), picture)
        tiny_model().write(folder / "colors.tflite")
        self.config = folder / "edge.toml"
        self.config.write_text(
            f'[device]\nid = "porch"\nstate_dir = "state"\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n{mqtt}\n'
            f'[cameras.yard]\nsource = "{pictures}"\nrate_hz = {rate_hz}\nloop = true\n{camera}\n'
            '[models.colors]\nfile = "colors.tflite"\n'
            '[watches.gate]\ncamera = "yard"\nmodel = "colors"\ninterval_s = 0\n'
        )
        self.store = folder / "state" / "outbox.sqlite"
        self._log = folder / "daemon.log"
        self._command = [*map(str, prefix), str(COMMANDS / "sightpost"), "run", "--config", str(self.config)]
        self._environment = environment
        self._said_before = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with self._log.open("ab") as log:
            self._said_before = log.tell()
            self.process = subprocess.Popen(self._command, stderr=log, env=self._environment)
        return self

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def wait_until(self, words: str, timeout_s: float = 30.0) -> None:
        """Wait for what it says since it was last started."""
        eventually(lambda: words.encode() in self._said(), timeout_s, f"the daemon says {words!r}")

    def _said(self) -> bytes:
        return self._log.read_bytes()[self._said_before :] if self._log.exists() else b""

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, timeout_s: float = 20.0) -> int:
        """As systemd does; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout_s)
        self.process = None
        return code

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
