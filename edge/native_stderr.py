"""What C and C++ libraries write to standard error, which Python cannot catch: it goes elsewhere for a while."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STDERR = 2


@contextlib.contextmanager
def native_stderr_to(descriptor: int) -> Iterator[None]:
    """Within this block standard error is ``descriptor``, which stays the caller's to close. For the whole process."""
    before = os.dup(_STDERR)
    try:
        os.dup2(descriptor, _STDERR)
        yield
    finally:
        os.dup2(before, _STDERR)
        os.close(before)
