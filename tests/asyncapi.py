"""docs/asyncapi.yaml, read as far as the tests ask it: which channel a topic is on, and what is said there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).parents[1] / "docs" / "asyncapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(PATH.read_text())


def found(reference: str) -> dict[str, Any]:
    """What a ``#/...`` reference of the document points to."""
    part: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        part = part[name]
    assert isinstance(part, dict)
    return part


def channel_of(topic: str, prefix: str = "sightpost") -> str | None:
    """The name of the channel that a topic of a device is on."""
    fits = []
    for name, channel in DOCUMENT["channels"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(channel["address"]))
        if re.fullmatch(pattern.replace("sightpost", re.escape(prefix), 1), topic):
            fits.append((channel["address"].count("{"), str(name)))
    return min(fits)[1] if fits else None


def is_retained(channel: str) -> bool:
    """Whether what is said on a channel is retained."""
    for operation in DOCUMENT["operations"].values():
        if operation["channel"]["$ref"] == f"#/channels/{channel}" and "bindings" in operation:
            return bool(found(operation["bindings"]["$ref"])["mqtt"]["retain"])
    raise AssertionError(f"nobody says anything on {channel}")
