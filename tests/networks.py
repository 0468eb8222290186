"""A network namespace of a test's own, on a cable that can be made slow, lossy or dead. Takes root."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from brokers import Broker, mosquitto
from disks import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Far:
    """The other end: ``address`` is how it is reached from here."""

    name: str
    here: str
    address: str

    def slow(self, rate: str) -> None:
        """Let no more than ``rate`` through, in each direction."""
        for device, within in ((self.here, ()), ("far", ("ip", "netns", "exec", self.name))):
            _run(*within, "tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate, "burst", "4kb",
                 "latency", "500ms")  # fmt: skip

    def drop(self, percent: int) -> None:
        """Lose so many of all packets, in each direction."""
        self.heal()
        chance = "" if percent == 100 else f"numgen random mod 100 < {percent} "
        rules = "".join(
            f"chain {hook} {{ type filter hook {hook} priority 0; {chance}drop; }}\n" for hook in ("input", "output")
        )
        _run("ip", "netns", "exec", self.name, "nft", "-f", "-", stdin=f"table inet faults {{\n{rules}}}\n")

    def heal(self) -> None:
        """Lose nothing any more."""
        _run("ip", "netns", "exec", self.name, "nft", "flush", "ruleset")


class FarBroker(Broker):
    """A mosquitto at the far end."""

    def __init__(self, far: Far, folder: Path, *settings: str) -> None:
        near = mosquitto(folder, *settings)
        path = folder / f"mosquitto-{near.port}.conf"
        path.write_text(path.read_text().replace("127.0.0.1", "0.0.0.0"))  # noqa: S104  of its own namespace
        super().__init__(["ip", "netns", "exec", far.name, *near._command], near.port)
        self._far = far

    def _listens(self) -> bool:
        probe = ["ip", "netns", "exec", self._far.name, "bash", "-c", f"</dev/tcp/127.0.0.1/{self.port}"]
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@contextmanager
def far() -> Iterator[Far]:
    """Make a namespace and a cable to it."""
    require("ip", "tc", "nft")
    number = os.getpid() % 10_000
    end = Far(f"sightpost{number}", f"sp{number}", f"10.213.{number % 250}.2")
    if subprocess.run(["ip", "netns", "add", end.name], capture_output=True, check=False).returncode:
        pytest.skip("there are no network namespaces here")
    try:
        cable = ["ip", "link", "add", end.here, "type", "veth", "peer", "name", "far", "netns", end.name]
        if subprocess.run(cable, capture_output=True, check=False).returncode:
            pytest.skip("there are no virtual cables here")
        _run("ip", "address", "add", end.address[:-1] + "1/30", "dev", end.here)
        _run("ip", "link", "set", end.here, "up")
        _run("ip", "-n", end.name, "address", "add", f"{end.address}/30", "dev", "far")
        _run("ip", "-n", end.name, "link", "set", "far", "up")
        _run("ip", "-n", end.name, "link", "set", "lo", "up")
        yield end
    finally:
        subprocess.run(["ip", "link", "del", end.here], capture_output=True, check=False)
        _run("ip", "netns", "del", end.name)


def _run(*command: str, stdin: str = "") -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, input=stdin)
    assert done.returncode == 0, f"{command}: {done.stderr}"
