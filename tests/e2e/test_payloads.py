"""What the daemon really sends is what its schemas and docs/mqtt.md say."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncapi
import cv2
import pytest
from brokers import Subscriber, eventually, mosquitto
from models import plain, tiny_model
from schemas import problems

from edge.schemas import PAYLOADS, schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from brokers import Received

    Run = Callable[..., subprocess.CompletedProcess[str]]

DOCS = Path(__file__).parents[2] / "docs"
SCHEMAS: dict[str, dict[str, Any]] = {
    name: json.loads((DOCS / "schemas" / f"{name}.schema.json").read_text()) for name in PAYLOADS
}
EXAMPLES = re.findall(
    r"^## `<prefix>/<device>/(\S+)`.*?```json\n(.*?)```", (DOCS / "mqtt.md").read_text(), re.DOTALL | re.MULTILINE
)


def kind_of(topic_end: str) -> str:
    """Which schema a topic has: ``gate/state`` → ``state``, ``camera/yard/status`` → ``camera-status``."""
    if topic_end == "cmd/response":
        return "reply"
    if topic_end.startswith("camera/"):
        return "camera-status"
    return "watch-status" if topic_end.endswith("/status") else topic_end.rsplit("/", maxsplit=1)[-1]


@pytest.mark.parametrize("name", PAYLOADS)
def test_the_published_schemas_are_those_of_the_code(name: str) -> None:
    assert SCHEMAS[name] == schema(PAYLOADS[name]), "run: python -m edge.schemas docs/schemas"


def test_all_that_the_daemon_says_is_as_documented(run: Run, model_path: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, color in enumerate(("red", "green", "red")):
        cv2.imwrite(str(pictures / f"{number}.png"), plain(color))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "outbox.sqlite").write_bytes(b"beyond use" * 1000)  # makes a gap
    config = tmp_path / "edge.toml"
    vectors = tiny_model(kind="embed").write(tmp_path / "vectors.tflite")
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        config.write_text(
            f'[device]\nid = "porch"\nstate_dir = "state"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
            f'[cameras.yard]\nsource = "{pictures}"\nrate_hz = 2\n[models.gate]\nfile = "{model_path}"\n'
            '[watches.gate]\ncamera = "yard"\nmodel = "gate"\ninterval_s = 0\nanswers = true\n'
            f'[models.vectors]\nfile = "{vectors}"\n'
            '[watches.view]\ncamera = "yard"\nmodel = "vectors"\ninterval_s = 0\n'
        )
        done = run("sightpost", "run", "--config", config)
        assert done.returncode == 0, done.stderr
        eventually(lambda: subscriber.on("porch/status") and subscriber.on("porch/status")[-1].payload["reason"])
        heard: list[Received] = list(subscriber.received)
    kinds = {}
    for message in heard:
        kind = kind_of(message.topic.removeprefix("sightpost/porch/"))
        kinds[kind] = kinds.get(kind, 0) + 1
        assert problems(message.payload, SCHEMAS[kind]) == [], message.topic
        channel = asyncapi.channel_of(message.topic)
        assert channel is not None, f"{message.topic} is not in docs/asyncapi.yaml"
        assert not message.retain or asyncapi.is_retained(channel)
    # Replies are held against their schema where commands are given.
    assert kinds.keys() == PAYLOADS.keys() - {"reply"}, "something was not said"
    assert kinds["event"] >= 2
    # Pictures that come before anybody asks are skipped, so there may be two looks or three; each changes the state.
    assert kinds["answer"] == kinds["event"], "one for every look"


def test_the_validator_finds_what_is_wrong() -> None:
    wrong = {"device": 1, "surprise": True}
    found = problems(wrong, SCHEMAS["gap"])
    assert "$.device: 1 is no string" in found
    assert "$: surprise is not documented" in found
    assert "$: cause is missing" in found


@pytest.mark.parametrize(("topic", "text"), EXAMPLES, ids=[topic for topic, _ in EXAMPLES])
def test_the_examples_of_the_documentation_are_right(topic: str, text: str) -> None:
    assert problems(json.loads(text), SCHEMAS[kind_of(topic)]) == []


def test_every_payload_has_an_example_and_every_field_a_mention() -> None:
    assert {kind_of(topic) for topic, _ in EXAMPLES} == PAYLOADS.keys()
    text = (DOCS / "mqtt.md").read_text()
    fields = {field for payload in PAYLOADS.values() for field in payload.__struct_fields__}
    assert [field for field in sorted(fields) if f"`{field}`" not in text] == []
