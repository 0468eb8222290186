"""The message of MQTT discovery: what is there now, and what is no longer."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec

from edge.discovery import components
from edge.record import Post
from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from edge.discovery.components import Component
    from edge.discovery.subject import Subject
    from edge.messages import Topics

LEVEL = "device"
"""Topic level of discovery messages that describe a whole device: ``<prefix>/device/<device>/<whose>/config``."""


class Surroundings(Value, frozen=True):
    """What the message says beside the watches.

    Attributes:
        topics: where the device speaks.
        cameras: names of those that are looked through.
        version: of this program.
        commands: what the device may be told to do.
    """

    topics: Topics
    cameras: Sequence[str]
    version: str
    commands: Collection[str] = ()

    @property
    def id(self) -> str:
        """Names this device among all of a broker, also where several prefixes are in use."""
        return f"{self._whose}_{self.topics.device}"

    def topic(self, prefix: str) -> str:
        """Where this device is described; its id is a level of its own, for a broker's access rules."""
        return f"{prefix}/{LEVEL}/{self.topics.device}/{self._whose}/config"

    @property
    def _whose(self) -> str:
        return self.topics.prefix.replace("/", "-")


def announcements(
    prefix: str | None, around: Surroundings, subjects: Sequence[Subject], before: Mapping[str, bytes]
) -> list[Post]:
    """Make the posts that tell Home Assistant what is there now.

    Args:
        prefix: Home Assistant's discovery prefix; ``None`` takes back whatever was said.
        around: the device.
        subjects: its watches.
        before: the retained payloads that were said so far, by topic; those of discovery are the ones that matter.
    """
    topic = None if prefix is None else around.topic(prefix)
    old = [said for said, payload in before.items() if payload and said != topic and is_description(said)]
    posts = [Post(said, b"", retain=True) for said in old]
    if topic is not None:
        payload = msgspec.json.encode(_description(around, subjects, before.get(topic, b"")))
        if payload != before.get(topic):
            posts.append(Post(topic, payload, retain=True))
    return posts


def is_description(topic: str) -> bool:
    """Whether a topic is one of discovery; it may be of another prefix, or of an earlier name of the device."""
    return topic.endswith("/config") and f"/{LEVEL}/" in topic


def with_gone(payload: bytes, topics: Topics) -> bytes | None:
    """Describe what is gone once more as if it were there; ``None`` where nothing is.

    Home Assistant removes only what it has found since it started. Of what went while it was away it has to be told
    that it is there, and then that it is not.
    """
    try:
        description = msgspec.json.decode(payload)
        [device] = description["device"]["identifiers"]
        gone = {key: one["platform"] for key, one in description["components"].items() if one.keys() == {"platform"}}
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None  # written by another version of this program
    if not gone:
        return None
    for key, platform in gone.items():
        component = components.silent(platform, topics)
        description["components"][key] = {"platform": platform, "unique_id": f"{device}.{key}", **component}
    return msgspec.json.encode(description)


def _description(around: Surroundings, subjects: Sequence[Subject], before: bytes) -> dict[str, Any]:
    there = list(
        itertools.chain(
            components.of_device(around.topics),
            *(components.of_camera(camera, around.topics) for camera in around.cameras),
            *(components.of_watch(subject, around.topics) for subject in subjects),
            components.commands(around.commands, [subject.name for subject in subjects], around.topics),
        )
    )
    return {
        "device": {
            "identifiers": [around.id],
            "name": around.topics.device,
            "manufacturer": "Sightpost",
            "model": "camera appliance",
            "sw_version": around.version,
        },
        "origin": {"name": "Sightpost", "sw_version": around.version},
        "qos": 1,
        "components": {one.id: _described(one, around.id) for one in there} | _removed(there, before),
    }


def _described(component: Component, device: str) -> dict[str, Any]:
    return {"platform": component.platform, "unique_id": f"{device}.{component.id}", **component.description}


def _removed(there: Sequence[Component], before: bytes) -> dict[str, Any]:
    """What was there once: an entity goes when it is named with nothing but its platform.

    Home Assistant may be away when that is said, so it is said for ever; see ``with_gone``.
    """
    try:
        said = msgspec.json.decode(before)["components"] if before else {}
        return {
            key: {"platform": component["platform"]}
            for key, component in said.items()
            if key not in {one.id for one in there}
        }
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return {}  # written by another version of this program
