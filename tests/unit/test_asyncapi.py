"""docs/asyncapi.yaml says what the code says: topics, payloads, commands; test_payloads.py asks the daemon."""

from __future__ import annotations

import pytest
from asyncapi import DOCUMENT, PATH, channel_of, found

from edge.commands.requests import BODIES, WITHOUT_WATCH
from edge.schemas import PAYLOADS
from edge.topics import Topics

TOPICS = Topics("sightpost", "porch")
SAID = [
    *(getattr(TOPICS, name) for name in dir(Topics) if isinstance(getattr(Topics, name), property)),
    *(TOPICS.state("w"), TOPICS.event("w"), TOPICS.watch_status("w"), TOPICS.answer("w"), TOPICS.embedding("w")),
    TOPICS.image("w"),
    *(TOPICS.camera_status("c"), TOPICS.command("reload"), TOPICS.command("look/w")),
]


def test_every_channel_is_a_topic_and_every_topic_has_a_channel() -> None:
    channels = [channel_of(topic) for topic in SAID]
    assert None not in channels
    assert set(channels) == DOCUMENT["channels"].keys() - {"discovery"}


def test_every_reference_leads_somewhere_and_every_payload_is_one_of_the_schemas() -> None:
    schemas = set()
    pending = [DOCUMENT]
    while pending:
        part = pending.pop()
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            if key == "$ref" and value.startswith("#"):
                assert found(value)
            elif key == "$ref":
                assert (PATH.parent / value).exists(), value
                schemas.add(value.removeprefix("schemas/").removesuffix(".schema.json"))
            elif isinstance(value, dict | list):
                pending.append(value)
    assert schemas == PAYLOADS.keys()


@pytest.mark.parametrize("name", BODIES)
def test_every_command_is_described_as_it_is_understood(name: str) -> None:
    channel = "command" if name in WITHOUT_WATCH else "watchCommand"
    message = found(DOCUMENT["channels"][channel]["messages"][name]["$ref"])
    assert message["payload"]["properties"].keys() == set(BODIES[name].__struct_fields__)


def test_no_command_is_described_that_there_is_not() -> None:
    described = {name for channel in ("command", "watchCommand") for name in DOCUMENT["channels"][channel]["messages"]}
    assert described == BODIES.keys()
