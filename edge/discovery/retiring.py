"""Retained topics of watches and cameras that are no longer configured: a broker would say them for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.record import Post

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from edge.messages import Topics


def retired(topics: Topics, said: Iterable[str], *, watches: Collection[str], cameras: Collection[str]) -> list[Post]:
    """Make the posts that take back what was said of watches and cameras that are no longer there.

    Args:
        topics: where this device speaks.
        said: the topics of everything retained that it has said.
        watches: the names that there are now.
        cameras: likewise.
    """
    own = f"{topics.prefix}/{topics.device}/"
    gone = []
    for topic in said:
        match topic.removeprefix(own).split("/"):
            case ["camera", camera, "status"] if topic.startswith(own) and camera not in cameras:
                gone.append(topic)
            case [watch, _] if topic.startswith(own) and watch not in watches:
                gone.append(topic)
    return [Post(topic, b"", retain=True) for topic in gone]
