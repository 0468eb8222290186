"""Say the same thing only so often: a fault that lasts for weeks must not fill the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_KEYS_MAX = 100


class Throttle:
    """Lets each key through once in ``interval_s`` seconds. For one thread."""

    def __init__(self, interval_s: float = 60.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._monotonic = monotonic
        self._passed_s: dict[str, float] = {}

    def allows(self, key: str) -> bool:
        """Whether this may be said now; if so, it counts as said."""
        now_s = self._monotonic()
        if now_s - self._passed_s.get(key, float("-inf")) < self._interval_s:
            return False
        if len(self._passed_s) >= _KEYS_MAX:
            self._passed_s.clear()
        self._passed_s[key] = now_s
        return True
