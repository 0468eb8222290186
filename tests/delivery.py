"""What the tests of the way from an answer to a subscriber share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from edge.messages import Clock, Model, Score, StateMessage, Topics, changed, utc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.record import Post

TOPICS = Topics("sightpost", "porch")


def change(label: str, watch: str = "gate") -> tuple[Post, Post]:
    """Make the posts of a watch that says something new."""
    state = StateMessage(
        device=TOPICS.device,
        watch=watch,
        camera="yard",
        kind="classify",
        label=label,
        score=0.75,
        top=(Score(label, 0.75),),
        captured_at=utc(time.time()),
        clock=Clock(quality="unknown", boot_id="boot", monotonic_s=time.monotonic()),
        model=Model(name="gate", version="3"),
    )
    return changed(TOPICS, state, previous=None)


def without_repeats(payloads: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop what comes again with the same id, and make sure that nothing comes again with another one."""
    first = {payload["id"]: payload for payload in reversed(list(payloads))}
    known = {(each["epoch"], each["watch"], each["sequence"]) for each in first.values()}
    assert len(known) == len(first), "the same event came with two ids"
    return list(reversed(first.values()))


def assert_in_order(payloads: Iterable[dict[str, Any]], *, gap_free: bool = True) -> None:
    """Each watch's events, repeats apart, are in the order in which they happened."""
    by_watch: dict[str, list[int]] = {}
    for payload in without_repeats(payloads):
        by_watch.setdefault(payload["watch"], []).append(payload["sequence"])
    for watch, sequences in by_watch.items():
        assert sequences == sorted(sequences), f"{watch}: out of order"
        if gap_free:
            assert sequences == list(range(1, len(sequences) + 1)), f"{watch}: a gap"
