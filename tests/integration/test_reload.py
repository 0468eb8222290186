"""A running daemon takes over another configuration: what changed is restarted, and a wrong one changes nothing."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import paho.mqtt.publish
import pytest
from brokers import Broker, Subscriber, eventually, mosquitto
from commands import COMMANDS
from models import lively, tiny_model

FILM = 'source = "pictures"\nrate_hz = 10\nloop = true\nfrozen_after_s = 0\nstale_after_s = 60\n'
RELOADABLE = '[commands]\nallow = ["reload"]\n'


class Device:
    """The real daemon on two cameras that show red pictures for ever."""

    def __init__(self, folder: Path, broker: Broker, other: Broker) -> None:
        self.folder = folder
        self.config = folder / "edge.toml"
        self.ports = (broker.port, other.port)
        pictures = folder / "pictures"
        pictures.mkdir()
        for number in range(4):
            cv2.imwrite(str(pictures / f"{number}.png"), lively("red", number))
        tiny_model().write(folder / "colors.tflite")

    def write(self, *watches: str, port: int | None = None, more: str = "", device: str = "porch") -> None:
        cameras = {name.split("@")[1] for name in watches}
        self.config.write_text(
            f'[device]\nid = "{device}"\nstate_dir = "state"\n'
            f'[mqtt]\nhost = "127.0.0.1"\nport = {port or self.ports[0]}\n'
            + "".join(f"[cameras.{name}]\n{FILM}" for name in sorted(cameras))
            + '[models.colors]\nfile = "colors.tflite"\n'
            + "".join(
                f'[watches.{name.split("@")[0]}]\ncamera = "{name.split("@")[1]}"\nmodel = "colors"\ninterval_s = 0.1\n'
                for name in watches
            )
            + more
        )

    def start(self) -> None:
        self.log = (self.folder / "log.txt").open("w+")
        self.process = subprocess.Popen([COMMANDS / "sightpost", "run", "--config", self.config], stderr=self.log)

    def said(self) -> str:
        return (self.folder / "log.txt").read_text()

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def decoders(self) -> set[int]:
        """The processes at the end of the tree below the daemon: its decoders."""
        tree = {self.process.pid: self._children(self.process.pid)}
        for _ in range(3):
            tree |= {child: self._children(child) for children in tree.values() for child in children}
        servers = {child for child in tree[self.process.pid] if tree[child]}
        return {decoder for server in servers for decoder in tree[server]}

    @staticmethod
    def _children(pid: int) -> list[int]:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        assert self.process.returncode == 0, self.said()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path) as started:
        yield started


@pytest.fixture
def other_broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path) as started:
        yield started


@pytest.fixture
def device(tmp_path: Path, broker: Broker, other_broker: Broker) -> Iterator[Device]:
    one = Device(tmp_path, broker, other_broker)
    one.write("gate@yard", "bin@road", more=RELOADABLE)
    one.start()
    yield one
    one.stop()


def beginnings(subscriber: Subscriber, watch: str) -> int:
    """How often a watch has begun anew: its first event has nothing before it."""
    return len([event for event in subscriber.payloads(f"porch/{watch}/event") if event["previous"] is None])


def sees(subscriber: Subscriber, watch: str, times: int = 1) -> None:
    eventually(lambda: beginnings(subscriber, watch) == times, 60, f"{watch} begins {times} times")


def test_what_changed_is_restarted_and_the_rest_goes_on(device: Device, broker: Broker) -> None:
    with Subscriber(broker.port) as subscriber:
        sees(subscriber, "gate")
        sees(subscriber, "bin")
        before = device.decoders()
        assert len(before) == 2
        device.write("gate@yard", "door@road", more="[home_assistant]\n")
        device.reload()
        sees(subscriber, "door")
        eventually(lambda: {} in subscriber.payloads("porch/bin/state"), what="what is gone is taken back")
        eventually(lambda: subscriber.on("homeassistant/device/porch/sightpost/config"))
        eventually(lambda: subscriber.payloads("porch/status")[-1]["reason"] is None)
        assert device.decoders() == before, "its camera is the same"
        assert "it has changed: watches.bin, watches.door, the connection" in device.said()

        device.write("gate@yard", "door@attic", more="[home_assistant]\n")
        device.reload()
        sees(subscriber, "door", 2)
        after = device.decoders()
        assert len(after) == 2
        assert len(after & before) == 1, "one decoder goes on, the other one is new"
        eventually(lambda: {} in subscriber.payloads("camera/road/status"))
        assert beginnings(subscriber, "gate") == 1, "it has noticed nothing of all that"


def test_a_model_that_was_replaced_under_the_same_name_is_loaded(device: Device, broker: Broker) -> None:
    with Subscriber(broker.port) as subscriber:
        sees(subscriber, "gate")
        tiny_model(labels=("amber", "green", "blue")).write(device.folder / "colors.tflite")
        device.reload()
        eventually(lambda: subscriber.payloads("gate/state")[-1]["label"] == "amber", 60)


def test_another_broker_is_gone_to_and_nothing_else_is_disturbed(
    device: Device, broker: Broker, other_broker: Broker
) -> None:
    with Subscriber(broker.port) as first, Subscriber(other_broker.port) as second:
        sees(first, "gate")
        before = device.decoders()
        device.write("gate@yard", "bin@road", port=other_broker.port)
        device.reload()
        eventually(lambda: second.on("gate/state") and second.on("porch/status"), 60)
        assert first.payloads("porch/status")[-1]["reason"] == "stopped"
        assert device.decoders() == before


def test_a_command_reloads_and_is_told_what_has_changed(device: Device, broker: Broker) -> None:
    with Subscriber(broker.port) as subscriber:
        sees(subscriber, "gate")
        sees(subscriber, "bin")
        device.write("gate@yard", "bin@yard", more='[commands]\nallow = ["reload", "look"]\n')
        paho.mqtt.publish.single("sightpost/porch/cmd/reload", '{"id": "1"}', port=broker.port)
        eventually(lambda: subscriber.payloads("cmd/response"), 60)
        device.config.write_text("no TOML")
        sees(subscriber, "bin", 2)
        eventually(lambda: len(subscriber.on("porch/status")) >= 3, what="the connection is another one")
        paho.mqtt.publish.single("sightpost/porch/cmd/reload", '{"id": "2"}', port=broker.port)
        eventually(lambda: len(subscriber.payloads("cmd/response")) == 2, 60)
        first, second = subscriber.payloads("cmd/response")
    assert first["result"] == {"changed": "cameras.road, watches.bin, the connection to the broker"}
    assert not second["ok"]
    assert "not valid TOML" in second["error"]


WRONG = {
    "no TOML": lambda device: device.config.write_text("[device"),
    "an unknown key": lambda device: device.write("gate@yard", more="hold = 3\n"),
    "a file that is gone": lambda device: device.config.unlink(),
    "a model that is damaged": lambda device: (device.folder / "colors.tflite").write_bytes(b"TFL3"),
    "an impossible camera": lambda device: device.config.write_text(
        device.config.read_text().replace('"pictures"', '"scene:no"')
    ),
    "another device": lambda device: device.write("gate@yard", device="door"),
}


def test_a_wrong_configuration_changes_nothing_and_is_told(device: Device, broker: Broker) -> None:
    with Subscriber(broker.port) as subscriber:
        sees(subscriber, "gate")
        before = device.decoders()

        def told() -> str | None:
            error: str | None = subscriber.payloads("porch/status")[-1]["config_error"]
            return error

        for name, damage in WRONG.items():
            damage(device)
            device.reload()
            eventually(told, 60, name)
            assert f"nothing has changed: {told()}" in device.said()
            tiny_model().write(device.folder / "colors.tflite")
            device.write("gate@yard", "bin@road")
            device.reload()
            eventually(lambda: told() is None, 60, f"after {name}")
        assert device.decoders() == before
        assert subscriber.payloads("porch/status")[-1]["status"] == "online"


def test_a_dialect_whose_library_is_not_installed_is_refused_and_nothing_ends(
    tmp_path: Path, broker: Broker, other_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text('import sys\nsys.modules["google.protobuf"] = None\n')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))
    one = Device(tmp_path, broker, other_broker)
    one.write("gate@yard")
    one.start()
    with Subscriber(broker.port) as subscriber:
        sees(subscriber, "gate")
        one.write("gate@yard", more='[sparkplug]\ngroup_id = "plant"\n')
        one.reload()
        eventually(lambda: "protobuf" in (subscriber.payloads("porch/status")[-1]["config_error"] or ""))
        assert subscriber.payloads("porch/status")[-1]["status"] == "online"
    one.stop()
