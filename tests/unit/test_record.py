"""Ids that sort by time, posts that MQTT can say, what the clock is worth."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest

from edge.record import Post, boot_id, clock_quality, uuid7

if TYPE_CHECKING:
    from pathlib import Path


def test_an_id_is_a_version_7_uuid_of_its_time() -> None:
    made = uuid.UUID(uuid7(1_700_000_000.125, os.urandom))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == 1_700_000_000_125


def test_ids_sort_by_time_even_within_a_millisecond() -> None:
    times = [1_700_000_000 + step / 2000 for step in range(1000)]
    ids = [uuid7(clock_s, os.urandom) for clock_s in times]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_ids_of_one_instant_differ() -> None:
    assert len({uuid7(1_700_000_000.0, os.urandom) for _ in range(1000)}) == 1000


def test_a_clock_that_was_never_set_still_gives_an_id() -> None:
    assert uuid.UUID(uuid7(-1.0, os.urandom)).version == 7


@pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "a\x00b", "a\nb", "a\x85b", "\ud800", "a" * 1025])
def test_a_post_on_an_impossible_topic_is_refused(topic: str) -> None:
    with pytest.raises(ValueError, match="no topic to publish on"):
        Post(topic, b"")


def test_this_boot_has_a_name() -> None:
    assert uuid.UUID(boot_id())


def test_an_unknown_boot_is_empty(tmp_path: Path) -> None:
    assert boot_id(tmp_path / "missing") == ""


def test_the_clock_has_a_quality() -> None:
    assert clock_quality() in {"synchronized", "unsynchronized", "unknown"}
