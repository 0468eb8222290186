"""A real Home Assistant finds the real daemon by itself, and shows what it sees (``make test-home-assistant``)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import msgspec
import paho.mqtt.publish
import pytest
from brokers import Broker, Subscriber, eventually, mosquitto
from commands import COMMANDS
from home_assistant import ODD_LABELS as ODD
from home_assistant import HomeAssistant
from models import lively, tiny_model

from edge.discovery import Subject, Surroundings, announcements
from edge.messages import CameraStatusMessage, Clock, DeviceStatusMessage, Model, StateMessage, Topics
from edge.record import Message, Post

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TOPICS = Topics("sightpost", "porch")
AT = "2026-01-01T00:00:00.000Z"
CLOCK = Clock(quality="synchronized", boot_id="b", monotonic_s=1.0)


@pytest.fixture
def python(repository: Path) -> Path:
    """The environment in which Home Assistant is installed."""
    path = repository / ".venv-home-assistant" / "bin" / "python"
    if not path.exists():
        pytest.skip("no Home Assistant here: make test-home-assistant")
    return path


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path) as started:
        yield started


@contextmanager
def daemon(config: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [COMMANDS / "sightpost", "run", "--config", config], text=True, stderr=subprocess.PIPE
    ) as one:
        try:
            yield one
        finally:
            one.terminate()
            print(one.communicate(timeout=30)[1])  # for who has to find out why it failed


def configuration(folder: Path, port: int, *watches: str) -> Path:
    """A camera that shows red pictures for ever, and models of each kind."""
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    for number in range(4):
        cv2.imwrite(str(pictures / f"{number}.png"), lively("red", number))
    for kind in ("classify", "multilabel"):
        tiny_model(kind=kind).write(folder / f"{kind}.tflite")
    path = folder / "edge.toml"
    path.write_text(
        f'[device]\nid = "porch"\nstate_dir = "state"\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n'
        '[home_assistant]\n[commands]\nallow = ["reload", "look"]\n'
        f'[cameras.yard]\nsource = "{pictures}"\nrate_hz = 5\nloop = true\nfrozen_after_s = 0\n'
        + "".join(
            f'[models.{kind}]\nfile = "{kind}.tflite"\n[watches.{kind}]\ncamera = "yard"\nmodel = "{kind}"\n'
            f"[watches.{kind}.picture]\nmax_px = 64\n"
            for kind in watches
        )
    )
    return path


def test_it_shows_what_the_device_sees_and_that_it_is_gone(python: Path, broker: Broker, tmp_path: Path) -> None:
    with HomeAssistant(python, tmp_path / "ha", broker.port) as home:
        with daemon(configuration(tmp_path, broker.port, "classify", "multilabel")):
            eventually(lambda: home.state("sensor.porch_classify") == "red", 60, "the answer is shown")
            answer = home.entity("sensor.porch_classify")
            assert answer is not None
            assert answer["attributes"]["options"] == ["red", "green", "blue", "unknown", "stale"]
            assert answer["attributes"]["score"] > 0.5
            assert answer["attributes"]["camera"] == "yard"
            assert home.state("binary_sensor.porch_multilabel_red") == "on"
            assert home.state("binary_sensor.porch_multilabel_blue") == "off"
            assert home.state("sensor.porch_camera_yard") == "live"
            assert home.state("binary_sensor.porch_connected") == "on"
            assert home.state("sensor.porch_dropped_messages") == "0"
            eventually(lambda: home.picture("image.porch_classify").startswith(b"\xff\xd8"), 30, "its picture is shown")
            assert float(home.state("sensor.porch_camera_yard_rate") or 0) > 0
            with Subscriber(broker.port) as subscriber:
                home.press("button.porch_classify_look")
                eventually(lambda: subscriber.payloads("cmd/response"), 30)
                assert subscriber.payloads("cmd/response")[0]["result"]["label"] == "red"
            assert home.state("sensor.porch_clock") in {"synchronized", "unsynchronized", "unknown"}
        eventually(lambda: home.state("binary_sensor.porch_connected") == "off", 30)
        assert home.state("sensor.porch_classify") == "unavailable"

        home.restart()
        eventually(lambda: home.state("sensor.porch_classify") == "unavailable", 60, "it is remembered")
        home.stop()
        with daemon(configuration(tmp_path, broker.port, "classify")):
            home.start()
            eventually(lambda: home.state("sensor.porch_classify") == "red", 60, "it is back")
            gone = [entity for entity in home.entities() if "multilabel" in entity]
            eventually(
                lambda: not [entity for entity in home.entities() if "multilabel" in entity],
                30,
                f"what went while it was away goes: {gone}",
            )
            assert home.state("sensor.porch_camera_yard") == "live"
        assert home.complaints() == []


def test_any_label_can_be_shown(python: Path, broker: Broker, tmp_path: Path) -> None:
    """Its real templates and checks, with labels of every kind, one state after the other."""
    around = Surroundings(TOPICS, ["yard"], "1")
    subjects = [Subject("odd", "yard", "classify", ODD), Subject("odds", "yard", "multilabel", ODD)]
    subjects.append(Subject("yes", "yard", "binary", (ODD[-1], ODD[-2])))
    posts = announcements("homeassistant", around, subjects, {})
    with HomeAssistant(python, tmp_path / "ha", broker.port) as home:

        def say(topic: str, payload: Post | Message | DeviceStatusMessage) -> None:
            content = payload.message if isinstance(payload, Post) else msgspec.json.encode(payload)
            paho.mqtt.publish.single(topic, content, retain=True, port=broker.port)

        def answer(watch: str, label: str, score: float = 0.5) -> StateMessage:
            return StateMessage(
                device="porch",
                watch=watch,
                camera="yard",
                kind="classify",
                label=label,
                score=score,
                captured_at=AT,
                clock=CLOCK,
                model=Model(name="m", version="1"),
            )

        for post in posts:
            say(post.topic, post)
        online = DeviceStatusMessage(device="porch", status="online", at=AT, clock=CLOCK, version="1", epoch="e")
        live = CameraStatusMessage(device="porch", camera="yard", status="live", since=AT, clock=CLOCK)
        say(TOPICS.status, online)
        say(TOPICS.camera_status("yard"), live)
        for number, label in enumerate(ODD):
            for watch in ("odd", "odds", "yes"):
                say(TOPICS.state(watch), answer(watch, label, number))
            eventually(lambda number=number: home.attribute("sensor.porch_odd", "score") == number, 60)  # type: ignore[misc]
            entity = home.entity("sensor.porch_odd")
            assert entity is not None
            options = entity["attributes"]["options"]
            assert entity["state"] == options[number], label
            if label not in {"  ", "None"}:
                assert entity["state"] == label[:255].strip()
            lit = [name for name, state in home.entities().items() if name.startswith("binary_sensor.porch_odds")]
            on = [name for name in lit if home.state(name) == "on"]
            assert len(lit) == len(ODD)
            assert len(on) == 1, (label, on)
            assert home.state("binary_sensor.porch_yes") == ("on" if label == ODD[-2] else "off")
        for watch in ("odd", "odds", "yes"):
            say(TOPICS.state(watch), answer(watch, "unknown"))
        eventually(lambda: home.state("sensor.porch_odd") == "unknown", 30)
        assert home.state("binary_sensor.porch_yes") == "unknown"
        shown = {state for name, state in home.entities().items() if name.startswith("binary_sensor.porch_odds")}
        assert shown == {"unknown"}
        assert home.complaints() == []
