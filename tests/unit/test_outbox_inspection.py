"""Looking into an outbox from outside."""

from __future__ import annotations

import os
import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from outboxes import outbox, path

from edge.errors import OutboxError
from edge.outbox.batch import Limits, Sources
from edge.outbox.inspection import looking_into, working_on

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
