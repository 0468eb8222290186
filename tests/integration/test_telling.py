"""Telling a running device what to do, over a real broker."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from brokers import Broker, eventually, mosquitto
from commands import COMMANDS, command
from models import tiny_model
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from schemas import problems

from edge.jpeg import read_note
from edge.schemas import PAYLOADS, schema


@dataclass
class Boss:
    """Somebody who tells devices what to do, in either version of MQTT."""

    port: int
    version: str
    heard: list[mqtt.MQTTMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        protocol = mqtt.MQTTv5 if self.version == "5" else mqtt.MQTTv311
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        self.client.on_message = lambda _client, _userdata, message: self.heard.append(message)
        subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_connect = lambda client, *_: client.subscribe([("answers/#", 1), ("sightpost/#", 1)])
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        assert subscribed.wait(15)

    def tell(self, tail: str, body: dict[str, Any], mark: str, *, retain: bool = False) -> None:
        properties = None
        if self.version == "5":
            properties = Properties(PacketTypes.PUBLISH)
            properties.ResponseTopic = "answers/boss"
            properties.CorrelationData = mark.encode()
        else:
            body = body | {"id": mark}
        topic = f"sightpost/porch/cmd/{tail}"
        self.client.publish(topic, json.dumps(body), 1, retain, properties).wait_for_publish(10)

    def answers(self, mark: str) -> list[dict[str, Any]]:
        """The answers to a command, which must be where this version finds them."""
        found = []
        for message in list(self.heard):
            if self.version == "5" and message.topic == "answers/boss":
                if getattr(message.properties, "CorrelationData", None) == mark.encode():
                    found.append(json.loads(message.payload))
            elif message.topic == "sightpost/porch/cmd/response":
                answer = json.loads(message.payload)
                if answer["id"] == mark:
                    found.append(answer)
        return found

    def ask(self, tail: str, body: dict[str, Any], mark: str) -> dict[str, Any]:
        self.tell(tail, body, mark)
        [answer] = eventually(lambda: self.answers(mark), what=f"an answer to {tail}")
        return answer


@dataclass
class Site:
    broker: Broker
    boss: Boss
    config: Path
    process: subprocess.Popen[str]


@pytest.fixture(scope="module", params=["5", "3.1.1"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    tiny_model().write(folder / "colors.tflite")
    tiny_model(kind="embed").write(folder / "vectors.tflite")
    config = folder / "edge.toml"
    with mosquitto(folder) as broker:
        config.write_text(
            f'[device]\nid = "porch"\nstate_dir = "state"\n'
            f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nversion = "{request.param}"\n'
            '[commands]\nallow = ["look", "snapshot", "pause", "resume", "interval", "teach"]\ntimeout_s = 8\n'
            '[cameras.yard]\nsource = "scene:gate"\nrate_hz = 10\nwidth_px = 64\nheight_px = 48\n'
            '[models.colors]\nfile = "colors.tflite"\n'
            '[watches.gate]\ncamera = "yard"\nmodel = "colors"\ninterval_s = 3600\n'
            '[models.vectors]\nfile = "vectors.tflite"\n'
            '[watches.bay]\ncamera = "yard"\nmodel = "vectors"\nkind = "teach"\ninterval_s = 3600\n'
        )
        boss = Boss(broker.port, request.param)
        boss.tell("pause/gate", {}, "retained", retain=True)
        process = subprocess.Popen(
            [COMMANDS / "sightpost", "run", "--config", config], stderr=subprocess.PIPE, text=True
        )
        try:
            eventually(lambda: any(message.topic.endswith("gate/state") for message in boss.heard), 90)
            yield Site(broker, boss, config, process)
        finally:
            process.terminate()
            process.communicate(timeout=30)
            boss.client.disconnect()
            boss.client.loop_stop()


def test_a_watch_looks_now_and_the_answer_is_what_it_saw(site: Site) -> None:
    answer = site.boss.ask("look/gate", {}, "look-1")
    assert answer["ok"], answer
    assert answer["result"]["label"] in {"red", "green", "blue"}
    assert 0 <= answer["result"]["score"] <= 1
    assert answer["result"]["captured_at"] <= answer["at"]
    assert problems(answer, schema(PAYLOADS["reply"])) == []


def test_a_watch_is_paused_and_resumed_and_an_old_retained_pause_is_not_obeyed(site: Site) -> None:
    assert site.boss.ask("interval/gate", {"interval_s": 7.5}, "i")["result"] == {"paused": False, "interval_s": 7.5}
    assert site.boss.ask("pause/gate", {}, "p")["result"] == {"paused": True, "interval_s": 7.5}
    assert site.boss.ask("look/gate", {}, "look-2")["ok"], "a paused watch still answers when it is asked"
    assert site.boss.ask("resume/gate", {}, "r")["result"] == {"paused": False, "interval_s": 7.5}
    assert site.boss.answers("retained") == []


def test_a_snapshot_is_published_and_the_answer_says_where(site: Site) -> None:
    answer = site.boss.ask("snapshot/gate", {}, "shot")
    assert answer["ok"], answer
    result = answer["result"]
    assert result["topic"] == "sightpost/porch/gate/image"

    def pictures() -> list[bytes]:
        return [bytes(message.payload) for message in list(site.boss.heard) if message.topic == result["topic"]]

    eventually(lambda: any(len(each) == result["bytes"] for each in pictures()))
    note = read_note(pictures()[-1])
    assert note is not None
    assert note["captured_at"] == result["captured_at"]


def test_a_watch_is_taught_and_answers_with_it(site: Site) -> None:
    taught = site.boss.ask("teach/bay", {"label": "free", "shots": 3}, "teach-1")
    assert taught["result"] == {"label": "free", "learnt": 3, "of_this_label": 3}, taught
    eventually(lambda: site.boss.ask("look/bay", {}, f"look-{time.monotonic()}")["result"].get("label") == "free")
    assert "cannot be taught" in site.boss.ask("teach/gate", {"label": "free"}, "teach-2")["error"]
    assert "another label" in site.boss.ask("teach/bay", {"label": "unknown"}, "teach-3")["error"]


def test_a_command_that_comes_twice_is_done_once(site: Site) -> None:
    first = site.boss.ask("look/gate", {}, "twice")
    site.boss.tell("look/gate", {}, "twice")
    _, second = eventually(lambda: len(site.boss.answers("twice")) == 2 and site.boss.answers("twice"))
    assert first == second


def test_nonsense_is_answered_with_what_is_wrong(site: Site) -> None:
    assert "did you mean 'gate'?" in site.boss.ask("look/gaet", {}, "w")["error"]
    assert "did you mean 'interval_s'?" in site.boss.ask("interval/gate", {"intervall_s": 1}, "k")["error"]
    assert "commands.allow" in site.boss.ask("reload", {}, "a")["error"]


def test_a_person_tells_it_from_the_command_line(site: Site) -> None:
    told = command("sightpost", "tell", "porch", "interval", "gate", "interval_s=2", "--config", site.config)
    assert (told.returncode, json.loads(told.stdout)) == (0, {"paused": False, "interval_s": 2.0}), told.stderr
    refused = command("sightpost", "tell", "porch", "reload", "--config", site.config)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "commands.allow" in refused.stderr
    number = command("sightpost", "tell", "porch", "teach", "bay", "label=1", "shots=1", "--config", site.config)
    assert (number.returncode, json.loads(number.stdout or "{}").get("label")) == (0, "1"), number.stderr
    wrong = command("sightpost", "tell", "porch", "puase", "gate", "--config", site.config)
    assert "did you mean 'pause'?" in wrong.stderr
    aimless = command("sightpost", "tell", "porch", "look", "--config", site.config)
    assert (aimless.returncode, "sightpost tell porch look WATCH" in aimless.stderr) == (64, True), aimless.stderr
    silent = command("sightpost", "tell", "attic", "look", "gate", "--config", site.config, "--timeout-s", "0.5")
    assert silent.returncode == 69
    assert "attic does not answer" in silent.stderr


def test_a_camera_that_delivers_nothing_costs_an_answer_in_time_and_nothing_else(tmp_path: Path) -> None:
    tiny_model().write(tmp_path / "colors.tflite")
    config = tmp_path / "edge.toml"
    with mosquitto(tmp_path) as broker:
        config.write_text(
            f'[device]\nid = "porch"\nstate_dir = "state"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
            '[commands]\nallow = ["look"]\ntimeout_s = 1\n'
            '[cameras.yard]\nsource = "rtsp://127.0.0.1:9/none"\n[models.colors]\nfile = "colors.tflite"\n'
            '[watches.gate]\ncamera = "yard"\nmodel = "colors"\n'
        )
        boss = Boss(broker.port, "5")
        process = subprocess.Popen([COMMANDS / "sightpost", "run", "--config", config], stderr=subprocess.PIPE)
        try:
            eventually(lambda: any(message.topic.endswith("porch/status") for message in boss.heard), 90)
            attempts = itertools.count()

            def past_the_start() -> str:
                error = str(boss.ask("look/gate", {}, f"look {next(attempts)}")["error"])
                return "" if "starting" in error else error

            assert "not done within 1 s" in eventually(past_the_start, 60)
        finally:
            process.terminate()
            process.communicate(timeout=30)
            boss.client.disconnect()
            boss.client.loop_stop()
