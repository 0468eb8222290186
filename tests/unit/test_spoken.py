"""Messages as a person reads them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.messages import CameraStatusMessage, Clock, Topics, gap
from edge.record import Loss, Message
from edge.spoken import line

TOPICS = Topics("home/eyes", "porch")
CLOCK = Clock(quality="unsynchronized", boot_id="b", monotonic_s=1.0)


def said(topic: str, message: Message | bytes, *, retained: bool = False) -> str:
    payload = message if isinstance(message, bytes) else msgspec.json.encode(message)
    return line(TOPICS, topic, payload, retained=retained)


def test_a_camera_says_why() -> None:
    status = CameraStatusMessage(
        device="porch", camera="yard", status="stale", reason="no frames", since="2026-11-23T14:24:00.125Z", clock=CLOCK
    )
    words = said(TOPICS.camera_status("yard"), status, retained=True)
    assert words == "2026-11-23 14:24:00  camera yard is stale: no frames  [as of earlier, clock not set]"


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (Loss("full", 3, 0.0, 60.0, frozenset({TOPICS.event("gate"), TOPICS.event("bay")})),
         "3 messages of bay, gate are lost since 1970-01-01 00:00:00: full"),
        (Loss("damaged", None, None, 60.0), "an unknown number of messages are lost: damaged"),
    ],
)  # fmt: skip
def test_a_gap_says_what_is_known(loss: Loss, words: str) -> None:
    message = gap(TOPICS, loss, CLOCK).message
    assert said(TOPICS.gap, message) == f"1970-01-01 00:01:00  {words}  [clock not set]"


def test_a_single_answer_is_told_from_a_state() -> None:
    payload = b'{"captured_at": "2026-11-23T14:24:00.125Z", "label": "open", "score": 0.91, "state": "shut"}'
    assert said(TOPICS.answer("gate"), payload) == "2026-11-23 14:24:00  gate looks like open (91%)"


def test_of_a_vector_its_shape_is_said_and_not_its_bytes() -> None:
    payload = (
        b'{"captured_at": "2026-11-23T14:24:00.125Z", "embedding": {"encoding": "float16", "shape": [7, 7, 512], '
        b'"data": "hzBwLx4r", "scale": 1.0}, "l2": false}'
    )
    assert said(TOPICS.embedding("gate"), payload) == "2026-11-23 14:24:00  gate gives 7×7×512 numbers as float16"


NAMES = (
    "status",
    "gap",
    "gate/state",
    "gate/event",
    "gate/answer",
    "gate/embedding",
    "camera/yard/status",
    "other",
    "gate/image",
)
KEYS = (
    "at",
    "status",
    "outbox",
    "dropped",
    "until",
    "since",
    "count",
    "watches",
    "captured_at",
    "label",
    "score",
    "clock",
    "embedding",
    "shape",
)
ANYTHING = st.recursive(
    st.none() | st.text() | st.integers() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS), inner),
)


@given(st.binary(max_size=50) | ANYTHING.map(msgspec.json.encode), st.sampled_from(NAMES))
def test_anything_at_all_is_one_printable_line(payload: bytes, name: str) -> None:
    words = said(f"home/eyes/porch/{name}", payload)
    assert words.isprintable()


def test_nesting_beyond_all_reason_is_one_line_too() -> None:
    assert said("home/eyes/porch/gate/state", b"[" * 100_000).isprintable()
