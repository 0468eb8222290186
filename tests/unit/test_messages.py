"""The payloads that subscribers build on."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.messages import (
    CameraStatusMessage,
    Clock,
    DeviceStatusMessage,
    EventMessage,
    Model,
    Score,
    StateMessage,
    Topics,
    as_corrected,
    as_replayed,
    changed,
    utc,
)
from edge.record import Message, Post

TOPICS = Topics("home/sightpost", "porch")
CLOCK = Clock(quality="synchronized", boot_id="b00t", monotonic_s=12.5)


def state(label: str = "open", score: float | None = 0.75) -> StateMessage:
    return StateMessage(
        device="porch",
        watch="gate",
        camera="yard",
        kind="classify",
        label=label,
        score=score,
        top=(Score(label, score), Score("closed", 0.25)),
        captured_at=utc(1_700_000_000.1239),
        clock=CLOCK,
        model=Model(name="gate", version="3"),
    )


def camera_status() -> CameraStatusMessage:
    return CameraStatusMessage(device="porch", camera="yard", status="dark", since=utc(0.0), clock=CLOCK)


def test_topics_are_built_from_names() -> None:
    assert TOPICS.status == "home/sightpost/porch/status"
    assert TOPICS.state("gate") == "home/sightpost/porch/gate/state"
    assert TOPICS.event("gate") == "home/sightpost/porch/gate/event"
    assert TOPICS.camera_status("yard") == "home/sightpost/porch/camera/yard/status"


def test_a_change_is_a_retained_state_and_an_event_with_the_same_answer() -> None:
    said, happened = changed(TOPICS, state(), previous="closed", dwell_s=1.5)
    assert (said.topic, said.retain, said.message) == (TOPICS.state("gate"), True, state())
    assert (happened.topic, happened.retain) == (TOPICS.event("gate"), False)
    event = json.loads(msgspec.json.encode(happened.message))
    assert (event.pop("previous"), event.pop("dwell_s")) == ("closed", 1.5)
    assert event == json.loads(msgspec.json.encode(said.message))


def test_an_event_says_what_the_interface_promises() -> None:
    event = msgspec.json.encode(changed(TOPICS, state(), previous=None)[1].message)
    assert json.loads(event) == {
        "format": 1,
        "id": "",
        "epoch": "",
        "sequence": 0,
        "device": "porch",
        "watch": "gate",
        "camera": "yard",
        "kind": "classify",
        "label": "open",
        "reason": None,
        "score": 0.75,
        "top": [{"label": "open", "score": 0.75}, {"label": "closed", "score": 0.25}],
        "count": 1,
        "total_s": 0.0,
        "captured_at": "2023-11-14T22:13:20.123Z",
        "clock": {"quality": "synchronized", "boot_id": "b00t", "monotonic_s": 12.5, "corrected": False},
        "model": {"name": "gate", "version": "3"},
        "previous": None,
        "dwell_s": 0.0,
        "replayed": False,
    }


@given(label=st.text(st.characters(codec="utf-8")), score=st.none() | st.floats(0, 1))
def test_any_label_makes_the_round_trip(label: str, score: float | None) -> None:
    for post in changed(TOPICS, state(label, score), previous=label):
        assert msgspec.json.decode(msgspec.json.encode(post.message), type=type(post.message)) == post.message


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_null(score: float) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    payload = json.loads(msgspec.json.encode(state(score=score)), parse_constant=refuse)
    assert payload["score"] is payload["top"][0]["score"] is None


@pytest.mark.parametrize(
    "message", [*(post.message for post in changed(TOPICS, state(), previous="x")), camera_status()]
)
def test_a_finished_payload_can_be_marked_as_replayed(message: Message) -> None:
    payload = msgspec.json.encode(message)
    assert json.loads(as_replayed(payload)) == {**json.loads(payload), "replayed": True}
    assert as_replayed(as_replayed(payload)) == as_replayed(payload)


def test_a_payload_that_knows_no_replay_stays_as_it_is() -> None:
    assert as_replayed(b"\x89PNG") == b"\x89PNG"


def test_a_status_says_when_and_in_which_version() -> None:
    status = DeviceStatusMessage(
        device="porch", status="offline", reason="stopped", at=utc(0.0), clock=CLOCK, version="1.2", epoch="e"
    )
    decoded = json.loads(msgspec.json.encode(status))
    assert decoded["at"] == "1970-01-01T00:00:00.000Z"
    assert (decoded["format"], decoded["status"], decoded["reason"]) == (1, "offline", "stopped")


def test_an_event_needs_a_previous_label() -> None:
    with pytest.raises(TypeError, match="previous"):
        EventMessage(**{name: getattr(state(), name) for name in StateMessage.__struct_fields__})


def test_posts_of_a_change_are_posts() -> None:
    assert all(isinstance(post, Post) for post in changed(TOPICS, state(), previous=None))


@pytest.mark.parametrize(
    "damaged",
    [
        b'["quality"]',
        b'{"clock": {"boot_ie": "b"}}',
        b'{"clock": 7}',
        b'{"clock": {"boot_id": "b"}, "at": 7}',
        b'{"clock": {"boot_id": "b"}, "at": "\xff"}',
    ],
)
def test_a_damaged_message_whose_times_are_put_right_is_said_to_be_damaged(damaged: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whichever it is, the publisher sets it aside
        as_corrected(damaged, boot="b", behind_s=1.0)
