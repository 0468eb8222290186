"""Looking into an outbox from outside."""

from __future__ import annotations

import json
import os
import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from outboxes import outbox, path

from edge.errors import OutboxError
from edge.outbox import export
from edge.outbox.batch import Limits, Sources
from edge.outbox.inspection import looking_into, working_on
from edge.record import Post

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.outbox import Outbox

__all__ = ["outbox", "path"]
SOURCES = Sources(time.time, time.monotonic, random.Random(0).randbytes)


@contextmanager
def somebody_else() -> Iterator[None]:
    """Whom permissions bind, as they do not bind root."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_who_may_not_enter_the_folder_is_told_so(outbox: Outbox, path: Path) -> None:
    path.parent.chmod(0o750)  # as systemd makes it
    for look in (looking_into(path), working_on(path, Limits(100_000, 1.0), SOURCES, what="look")):
        with somebody_else(), pytest.raises(OutboxError, match=r"cannot be reached \(Permission denied\)"), look:
            pass


def test_a_message_that_a_flipped_byte_has_made_no_text_is_carried_away_like_any_other(
    outbox: Outbox, path: Path, tmp_path: Path
) -> None:
    for payload in (b'{"label": "\xff"}', b"[" * 100_000, b"{}"):
        outbox.put(Post("gate/event", payload))
    assert outbox.flush(10)
    with looking_into(path) as reader:
        assert export.write(export.events(reader), tmp_path / "stick.jsonl").lines == 3
    lines = [json.loads(line) for line in (tmp_path / "stick.jsonl").read_text().splitlines()]
    assert ["payload_base64" in line for line in lines] == [True, True, False]
