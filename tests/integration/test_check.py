"""``sightpost check`` tries what a configuration names as far as the daemon would: also what model and broker allow."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brokers import Broker, mosquitto
from commands import COMMANDS
from models import plain, tiny_model

from edge.cli.check import Finding, findings
from edge.config import load_config
from edge.errors import ConfigError
from edge.model import Model
from edge.model_card import Kind
from edge.watch.lessons import Lessons, lessons_path

Check = Callable[..., dict[str, Finding]]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    (tmp_path / "acl").write_text("topic write sightpost/porch/#\ntopic read sightpost/porch/cmd/#\n")
    with mosquitto(tmp_path, f"acl_file {tmp_path / 'acl'}") as started:
        yield started


@pytest.fixture
def check(tmp_path: Path, broker: Broker) -> Check:
    def run(
        *, device: str = "porch", kind: Kind = "classify", watch: str = "", more: str = "", version: str = "auto"
    ) -> dict[str, Finding]:
        tiny_model(kind=kind).write(tmp_path / "colors.tflite")
        path = tmp_path / "edge.toml"
        path.write_text(
            f'[device]\nid = "{device}"\nstate_dir = "state"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
            f'version = "{version}"\n[cameras.yard]\nsource = "scene:gate"\n[models.colors]\nfile = "colors.tflite"\n'
            f'[watches.gate]\ncamera = "yard"\nmodel = "colors"\n{watch}\n{more}'
        )
        return {finding.subject: finding for finding in findings(load_config(path))}

    return run


def test_everything_that_is_well_says_so(check: Check) -> None:
    found = check(more='[commands]\nallow = ["look"]\n')
    assert [finding for finding in found.values() if not finding.ok] == []
    assert found["watches.gate"].message == "classify: red, green, blue"
    assert found["broker"].message.endswith("connected, MQTT 5, may say sightpost/porch/")


def test_a_model_without_labels_is_said_to_give_vectors(check: Check) -> None:
    assert "feature vectors on litert" in check(kind="embed")["models.colors"].message


def test_a_taught_watch_says_what_it_was_taught_and_how_to_begin(check: Check, tmp_path: Path) -> None:
    untaught = check(kind="embed", watch='kind = "teach"')["watches.gate"]
    assert (untaught.ok, untaught.message) == (True, "nothing is taught yet; see sightpost teach")
    model = Model.load(tmp_path / "colors.tflite")
    vector = model.predict(plain("red")).embedding
    assert vector is not None
    lessons = Lessons(lessons_path(str(tmp_path / "state"), "gate"), model)
    lessons.add("shut", [vector])
    assert check(kind="embed", watch='kind = "teach"')["watches.gate"].message == "taught: shut"
    lessons_path(str(tmp_path / "state"), "gate").write_text("{")
    damaged = check(kind="embed", watch='kind = "teach"')["watches.gate"]
    assert not damaged.ok
    assert "teach anew" in damaged.message


def test_a_watch_that_does_not_fit_its_model_is_found(check: Check) -> None:
    found = check(watch='output = "embedding"')
    assert found["models.colors"].ok
    assert found["watches.gate"].exit_code == 78
    assert "watches.gate.output" in found["watches.gate"].message


def test_a_broker_that_does_not_let_it_speak_or_hear_is_found(check: Check) -> None:
    wrong = check(device="door")["broker"]
    assert wrong.exit_code == 69
    assert "does not let this device say sightpost/door/check (Not authorized)" in wrong.message
    assert check(device="door", version="3.1.1")["broker"].ok, "in MQTT 3.1.1 nobody can know"


def test_a_broker_that_does_not_let_it_be_told_anything_is_found(check: Check, tmp_path: Path, broker: Broker) -> None:
    (tmp_path / "acl").write_text("topic write sightpost/porch/#\n")
    broker.kill()
    broker.start()
    found = check(more='[commands]\nallow = ["look"]\n')["broker"]
    # mosquitto grants the subscription and sends nothing; a broker that refuses it is believed.
    assert found.ok or "hear sightpost/porch/cmd/#" in found.message


def test_a_complaint_that_nobody_hears_keeps_its_exit_code() -> None:
    words = [COMMANDS / "sightpost", "check", "--config", "missing.toml"]
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(words, stderr=full, check=False).returncode == ConfigError.exit_code
