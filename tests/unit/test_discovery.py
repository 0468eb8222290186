"""What Home Assistant is told: the structure that it asks for, whatever the labels, and what has gone.

The rules below are its own (Home Assistant 2024.11 and later), written down here; tests/e2e/test_home_assistant.py
asks the real one.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from home_assistant import ODD_LABELS
from hypothesis import given
from hypothesis import strategies as st

from edge.discovery import Birth, Subject, Surroundings, announcements, retired, wording
from edge.messages import Topics
from edge.publisher.session import Heard, Notice
from edge.record import Post, Record, Stamp

LABELS = {"few": ("open", "shut"), "odd": ODD_LABELS, "many": tuple(map(str, range(1000)))}
TOPICS = Topics("sightpost", "porch")
AROUND = Surroundings(TOPICS, ["yard"], "1.2.3")
TOPIC = "homeassistant/device/porch/sightpost/config"
GATE = Subject("gate", "yard", "classify", ("open", "shut"))
DOOR = Subject("door", "yard", "binary", ("no", "yes"))
PARK = Subject("park", "yard", "multilabel", ("cat", "Cat", "dog"))

_COMMON = {"platform", "unique_id", "name", "icon", "entity_category", "availability", "availability_mode"}
_COMMON |= {"state_topic", "value_template", "json_attributes_topic", "json_attributes_template"}
ALLOWED = {
    "sensor": _COMMON
    | {"device_class", "options", "state_class", "unit_of_measurement", "suggested_display_precision"},
    "binary_sensor": _COMMON | {"device_class"},
    "image": _COMMON | {"image_topic", "content_type"},
    "button": _COMMON | {"command_topic", "payload_press"},
}


def described(*subjects: Subject, before: dict[str, bytes] | None = None) -> dict[str, Any]:
    [post] = announcements("homeassistant", AROUND, subjects, before or {})
    return body(post)


def body(post: Post) -> dict[str, Any]:
    assert post.topic == TOPIC
    assert post.retain
    assert isinstance(post.message, bytes)
    found: dict[str, Any] = json.loads(post.message)
    return found


def broken_rules(description: dict[str, Any]) -> list[str]:
    """Which of Home Assistant's rules a description breaks."""
    broken = []
    if description.keys() != {"device", "origin", "components", "qos"}:
        broken.append(f"top: {sorted(description)}")
    if not description["device"].get("identifiers") or not description["origin"].get("name"):
        broken.append("a device has an identifier and its origin a name")
    unique: set[str] = set()
    for key, component in description["components"].items():
        if component.keys() == {"platform"}:
            continue  # an entity that is gone
        broken += [f"{key}: {name} is unknown" for name in component.keys() - ALLOWED[component["platform"]]]
        if " " in key or component["unique_id"] in unique:
            broken.append(f"{key}: not unique, or with a space")
        unique.add(component["unique_id"])
        if ("options" in component) != (component.get("device_class") == "enum"):
            broken.append(f"{key}: options go with enum")
        options = component.get("options", ["one"])
        if not options or len(set(options)) < len(options) or any(not 0 < len(option) <= 255 for option in options):
            broken.append(f"{key}: options {options}")
        own = component[{"button": "command_topic", "image": "image_topic"}.get(component["platform"], "state_topic")]
        topics = [own, *(each["topic"] for each in component.get("availability", ()))]
        broken += [
            f"{key}: {topic!r}" for topic in topics if not re.fullmatch("sightpost/porch/[A-Za-z0-9_/-]+", topic)
        ]
    return broken


@pytest.mark.parametrize(
    "labels", [("open", "shut"), ODD_LABELS, tuple(map(str, range(1000)))], ids=["plain", "odd", "many"]
)
@pytest.mark.parametrize("kind", ["classify", "binary", "multilabel", "embed"])
def test_the_description_keeps_home_assistants_rules(kind: Any, labels: tuple[str, ...]) -> None:
    assert broken_rules(described(Subject("gate", "yard", kind, labels))) == []


def test_the_rules_find_what_is_wrong() -> None:
    description = described(GATE)
    gate = description["components"]["sensor.gate"]
    gate |= {"surprise": 1, "options": ["", "a", "a"], "state_topic": "sightpost/porch/+/state"}
    assert len(broken_rules(description)) == 3


def test_a_watch_is_a_sensor_that_knows_its_answers() -> None:
    gate = described(GATE)["components"]["sensor.gate"]
    assert gate["options"] == ["open", "shut", "unknown", "stale"]
    assert gate["state_topic"] == TOPICS.state("gate")
    assert [each["topic"] for each in gate["availability"]] == [TOPICS.status, TOPICS.camera_status("yard")]
    assert gate["availability_mode"] == "all"


def test_only_the_answer_is_one_of_the_labels() -> None:
    assert "options" not in described(GATE)["components"]["sensor.gate.model"]


def test_a_question_of_yes_and_no_is_a_binary_sensor_and_each_of_many_labels_is_one() -> None:
    components = described(DOOR, PARK)["components"]
    assert components["binary_sensor.door"]["name"] == "door"
    names = [entry["name"] for key, entry in components.items() if key.startswith("binary_sensor.park.")]
    assert names == ["park cat", "park Cat", "park dog"]


def test_a_model_that_gives_vectors_has_no_answer_to_show() -> None:
    assert [key for key in described(Subject("view", "yard", "embed", ()))["components"] if "view" in key] == []


def test_a_watch_that_publishes_pictures_has_an_image() -> None:
    components = described(GATE, Subject("door", "yard", "embed", (), pictures=True))["components"]
    assert broken_rules(described(Subject("door", "yard", "embed", (), pictures=True))) == []
    images = {key: one["image_topic"] for key, one in components.items() if one["platform"] == "image"}
    assert images == {"image.door": TOPICS.image("door")}


def test_what_the_device_may_be_told_has_a_button_and_what_it_may_not_has_none() -> None:
    around = Surroundings(TOPICS, ["yard"], "1.2.3", ("look", "pause", "reload"))
    [post] = announcements("homeassistant", around, [GATE, DOOR], {})
    description = body(post)
    assert broken_rules(description) == []
    buttons = {key: one for key, one in description["components"].items() if one["platform"] == "button"}
    assert {one["command_topic"] for one in buttons.values()} == {
        *("sightpost/porch/cmd/look/gate", "sightpost/porch/cmd/look/door", "sightpost/porch/cmd/reload"),
    }


def test_labels_in_another_order_keep_their_entities() -> None:
    other = Subject("park", "yard", "multilabel", ("dog", "cat", "Cat"))
    assert described(PARK)["components"] == described(other)["components"]


def test_what_has_not_changed_is_not_said_again() -> None:
    [post] = announcements("homeassistant", AROUND, [GATE], {})
    assert isinstance(post.message, bytes)
    assert announcements("homeassistant", AROUND, [GATE], {TOPIC: post.message}) == []


def test_a_watch_that_is_gone_is_taken_from_home_assistant_however_often_the_device_restarts() -> None:
    before = json.dumps(described(GATE, DOOR)).encode()
    without = described(GATE, before={TOPIC: before})
    assert without["components"]["binary_sensor.door"] == {"platform": "binary_sensor"}
    later = described(GATE, PARK, before={TOPIC: json.dumps(without).encode()})
    assert later["components"]["binary_sensor.door"] == {"platform": "binary_sensor"}
    back = described(GATE, DOOR, before={TOPIC: json.dumps(later).encode()})
    assert back["components"]["binary_sensor.door"]["name"] == "door"


def test_a_description_that_cannot_be_read_is_replaced() -> None:
    for damaged in (b"{", b"[]", b'{"components": 7}', b'{"components": {"a": {}}}'):
        assert broken_rules(described(GATE, before={TOPIC: damaged})) == []


def test_switched_off_or_under_another_prefix_or_name_it_takes_the_old_description_back() -> None:
    [post] = announcements("homeassistant", AROUND, [GATE], {})
    said = {TOPIC: bytes(post.message), TOPICS.state("gate"): b"{}"}  # type: ignore[arg-type]
    gone = Post(TOPIC, b"", retain=True)
    assert announcements(None, AROUND, [GATE], said) == [gone]
    assert announcements("ha", AROUND, [GATE], said)[0] == gone
    renamed = Surroundings(Topics("sightpost", "door"), ["yard"], "1.2.3")
    assert announcements("homeassistant", renamed, [GATE], said)[0] == gone
    assert announcements(None, AROUND, [GATE], {TOPIC: b""}) == []


def test_what_was_said_of_watches_and_cameras_that_are_gone_is_taken_back() -> None:
    said = [TOPICS.state("gate"), TOPICS.state("bay"), TOPICS.camera_status("yard"), TOPICS.camera_status("attic")]
    said += [TOPICS.status, TOPIC, "sightpost/other/bay/state"]
    posts = retired(TOPICS, said, watches={"gate"}, cameras={"yard"})
    assert posts == [Post(TOPICS.state("bay"), b"", retain=True), Post(TOPICS.camera_status("attic"), b"", retain=True)]


@given(st.text())
def test_no_label_is_more_than_a_text_in_a_template(label: str) -> None:
    quoted = wording.literal(label)
    inside = quoted[1:-1]
    assert re.fullmatch(r"[A-Za-z0-9 _+\\-]*", inside)
    assert inside.encode("ascii").decode("unicode-escape") == label


@given(st.text())
def test_a_label_becomes_a_state_that_home_assistant_takes(label: str) -> None:
    state = wording.state(label)
    assert 0 < len(state) <= wording.STATE_MAX
    assert state != "None"
    assert state == state.strip()
    assert len(wording.name(label)) <= wording.NAME_MAX
    assert not set(wording.name(label)) & set("\n\r\0\u202e")


def test_when_home_assistant_has_started_it_is_told_again_but_not_all_the_time() -> None:
    described_now = retained(TOPIC, json.dumps(described(GATE)).encode())
    posts: list[Post] = []
    birth = Birth(
        "homeassistant", TOPICS, lambda: [described_now, retained(TOPICS.state("gate"))], posts.append, unwanted
    )
    assert birth.subscriptions == ("homeassistant/status",)
    birth.tick(0)
    assert posts == []
    for said, seconds, times in (
        (Heard("homeassistant/status", b"online", retained=False), 1, 1),
        (Heard("homeassistant/status", b"online", retained=False), 2, 1),
        (Heard("homeassistant/status", b"offline", retained=False), 12, 2),
        (Heard("homeassistant/status", b"online", retained=True), 30, 2),
        (Heard("sightpost/porch/cmd/x", b"online", retained=False), 40, 2),
    ):
        birth.heard(said)
        birth.tick(seconds)
        assert len(posts) == times, (said, seconds)
    assert posts == [Post(TOPIC, described_now.payload, retain=True)] * 2


def test_what_went_while_home_assistant_was_away_is_shown_to_it_once_so_that_it_can_remove_it() -> None:
    """It removes only what it has found since it started; what it remembers from before would stay for ever."""
    before = {TOPIC: json.dumps(described(GATE, PARK, DOOR)).encode()}
    now = described(GATE, before=before)
    spoken: list[Post | Notice] = []
    said = [retained(TOPIC, json.dumps(now).encode())]
    birth = Birth("homeassistant", TOPICS, lambda: said, spoken.append, spoken.append)
    birth.heard(Heard("homeassistant/status", b"online", retained=False))
    birth.tick(0)

    shown, last = spoken
    assert isinstance(shown, Notice)
    assert not shown.retain, "whoever subscribes later is not to find them"
    assert shown.topic == TOPIC
    description = json.loads(shown.payload)
    assert broken_rules(description) == []
    there = json.loads(before[TOPIC])["components"]
    assert {key: one["unique_id"] for key, one in description["components"].items()} == {
        key: one["unique_id"] for key, one in there.items()
    }
    assert last == Post(TOPIC, said[0].payload, retain=True)


@pytest.mark.parametrize("payload", [b"{}", b"[]", b"no JSON", b'{"components": [1]}', b'{"components": {"a": 1}}'])
def test_a_description_of_another_version_is_said_as_it_is(payload: bytes) -> None:
    posts: list[Post] = []
    birth = Birth("homeassistant", TOPICS, lambda: [retained(TOPIC, payload)], posts.append, unwanted)
    birth.heard(Heard("homeassistant/status", b"online", retained=False))
    birth.tick(0)
    assert posts == [Post(TOPIC, payload, retain=True)]


def retained(topic: str, payload: bytes = b"{}") -> Record:
    return Record(0, "1", topic, payload, retain=True, epoch="e", stamp=Stamp(0, 0), earlier=False)


def unwanted(notice: Notice) -> None:
    raise AssertionError(f"nobody wants to hear {notice}")
