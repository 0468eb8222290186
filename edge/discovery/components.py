"""The entities of a watch, a camera and the device, each as Home Assistant wants to have it described."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, get_args

from edge.answer import JOINT, STALE, UNKNOWN
from edge.discovery import wording
from edge.messages import CameraStatus
from edge.record import ClockQuality
from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from edge.discovery.subject import Subject
    from edge.messages import Topics

OPTIONS_MAX = 200
"""A model of more labels than this is shown as plain text: nobody chooses from a thousand, and messages stay small."""
LABEL_SENSORS_MAX = 50
"""A multi-label model of more labels has one sensor with its answer, and none for each label."""
YES_OR_NO = 2

_ATTRIBUTES = (
    "{{ {'score': value_json.score, 'reason': value_json.reason, 'top': value_json.top,"
    " 'captured_at': value_json.captured_at, 'camera': value_json.camera, 'replayed': value_json.replayed} | tojson }}"
)
"""Not the whole message: what is new in each one (ids, clocks) would fill Home Assistant's database."""
_NO_ANSWER = f"value_json.label in ['{UNKNOWN}', '{STALE}']"

Description = dict[str, Any]


class Component(Value, frozen=True):
    """One entity: which platform shows it, a key that is stable for ever, and its description."""

    platform: str
    key: str
    description: Description

    @property
    def id(self) -> str:
        """Unique within the device. The platform is part of it: an id cannot move from one to another."""
        return f"{self.platform}.{self.key}"


def of_watch(subject: Subject, topics: Topics) -> Iterator[Component]:
    """A watch's answer, its model, and its last picture."""
    there = {"availability": _available(topics, subject.camera), "availability_mode": "all"}
    said = {"state_topic": topics.state(subject.name)} | there
    if subject.kind != "embed":
        yield from _answers(subject, said)
        yield Component(
            "sensor",
            f"{subject.name}.model",
            said
            | {
                "name": f"{subject.name} model",
                "entity_category": "diagnostic",
                "icon": "mdi:brain",
                "value_template": "{{ value_json.model.name ~ ' ' ~ value_json.model.version }}",
            },
        )
    if subject.pictures:  # that of the last change is worth seeing whatever has become of the camera
        picture = {"name": subject.name, "image_topic": topics.image(subject.name), "content_type": "image/jpeg"}
        yield Component("image", subject.name, picture)


def _answers(subject: Subject, said: Description) -> Iterator[Component]:
    attributes = {"json_attributes_topic": said["state_topic"], "json_attributes_template": _ATTRIBUTES}
    if subject.kind == "binary" and len(subject.labels) == YES_OR_NO:
        yes = subject.labels[1][: wording.STATE_MAX]
        is_yes = f"value_json.label[:{wording.STATE_MAX}] == {wording.literal(yes)}"
        about = {"name": subject.name, "value_template": _yes_or_no(is_yes)}
        yield Component("binary_sensor", subject.name, said | attributes | about)
        return
    if subject.kind == "multilabel" and 0 < len(subject.labels) <= LABEL_SENSORS_MAX:
        for label in subject.labels:
            digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:12]
            about = {
                "name": f"{subject.name} {wording.name(label)}",
                "value_template": _yes_or_no(_has(label)),
            }
            yield Component("binary_sensor", f"{subject.name}.label.{digest}", said | about)
        return
    about = {"name": subject.name, "icon": "mdi:eye", "value_template": wording.STATE_TEMPLATE}
    if subject.kind != "multilabel" and 0 < len(subject.labels) <= OPTIONS_MAX:
        options = dict.fromkeys(wording.state(label) for label in (*subject.labels, UNKNOWN, STALE))
        said = said | {"device_class": "enum", "options": list(options)}
    yield Component("sensor", subject.name, said | attributes | about)


def _has(label: str) -> str:
    """Whether a label is one of those that the answer joins."""
    is_whole = len(label) <= wording.STATE_MAX
    wanted = JOINT + label[: wording.STATE_MAX] + (JOINT if is_whole else "")
    return f"{wording.literal(wanted)} in ('{JOINT}' ~ value_json.label ~ '{JOINT}')"


def _yes_or_no(condition: str) -> str:
    return f"{{{{ 'None' if {_NO_ANSWER} else 'ON' if {condition} else 'OFF' }}}}"


def of_camera(camera: str, topics: Topics) -> Iterator[Component]:
    """Whether a camera delivers."""
    yield Component(
        "sensor",
        f"camera.{camera}.status",
        {
            "name": f"camera {camera}",
            "entity_category": "diagnostic",
            "icon": "mdi:cctv",
            "device_class": "enum",
            "options": list(get_args(CameraStatus)),
            "state_topic": topics.camera_status(camera),
            "value_template": "{{ value_json.status }}",
            "json_attributes_topic": topics.camera_status(camera),
            "json_attributes_template": "{{ {'reason': value_json.reason, 'since': value_json.since} | tojson }}",
            "availability": _available(topics),
        },
    )

    yield Component(
        "sensor",
        f"camera.{camera}.rate",
        {
            "name": f"camera {camera} rate",
            "entity_category": "diagnostic",
            "device_class": "frequency",
            "state_class": "measurement",
            "unit_of_measurement": "Hz",
            "suggested_display_precision": 1,
            "state_topic": topics.camera_status(camera),
            "value_template": "{{ value_json.rate_hz }}",
            "availability": _available(topics),
        },
    )


def of_device(topics: Topics) -> Iterator[Component]:
    """Whether it is there, and what it would like to have said."""
    said = {"state_topic": topics.status, "entity_category": "diagnostic"}
    yield Component(
        "binary_sensor",
        "device.connected",
        said
        | {
            "name": "connected",
            "device_class": "connectivity",
            "value_template": "{{ 'ON' if value_json.status == 'online' else 'OFF' }}",
        },
    )
    there = said | {"availability": _available(topics)}
    counts = {
        "pending": ("waiting messages", "measurement", "value_json.outbox.pending"),
        "dropped": ("dropped messages", "total_increasing", "value_json.outbox.dropped.values() | sum"),
        "refused": ("refused messages", "total_increasing", "value_json.outbox.refused"),
    }
    for key, (name, state_class, value) in counts.items():
        yield Component(
            "sensor",
            f"device.{key}",
            there
            | {
                "name": name,
                "icon": "mdi:tray-full",
                "state_class": state_class,
                "unit_of_measurement": "messages",
                "value_template": f"{{{{ {value} if value_json.outbox else 'None' }}}}",
            },
        )
    yield Component(
        "sensor",
        "device.clock",
        there
        | {
            "name": "clock",
            "icon": "mdi:clock-check-outline",
            "device_class": "enum",
            "options": list(get_args(ClockQuality)),
            "value_template": "{{ value_json.clock.quality }}",
        },
    )


def commands(allowed: Collection[str], watches: Sequence[str], topics: Topics) -> Iterator[Component]:
    """A button for each command that needs no more than a push."""
    pushes = [("reload", "", "reload configuration", "mdi:reload")] if "reload" in allowed else []
    for command, icon in (("look", "mdi:eye-refresh"), ("snapshot", "mdi:camera")):
        if command in allowed:
            pushes += [(command, watch, f"{watch} {command}", icon) for watch in watches]
    for command, watch, name, icon in pushes:
        yield Component(
            "button",
            f"{watch or 'device'}.{command}",
            {
                "name": name,
                "icon": icon,
                "command_topic": topics.command(f"{command}/{watch}" if watch else command),
                "payload_press": "{}",
                "availability": _available(topics),
            }
            | ({} if watch else {"entity_category": "config"}),
        )


def silent(platform: str, topics: Topics) -> Description:
    """The least that an entity of a platform must have; nobody speaks on its topic."""
    key = {"button": "command_topic", "image": "image_topic"}.get(platform, "state_topic")
    return {key: f"{topics.status}/none"}


def _available(topics: Topics, camera: str | None = None) -> list[Description]:
    """The device is online and, where it matters, the camera delivers."""
    device = {
        "topic": topics.status,
        "value_template": "{{ 'online' if value_json.status == 'online' else 'offline' }}",
    }
    if camera is None:
        return [device]
    delivers = {
        "topic": topics.camera_status(camera),
        "value_template": "{{ 'online' if value_json.status == 'live' else 'offline' }}",
    }
    return [device, delivers]
