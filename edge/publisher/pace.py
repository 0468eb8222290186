"""How fast a backlog is replayed: a link has other things to carry, and a fleet comes back all at once."""

from __future__ import annotations

_BURST_S = 0.1


class Pace:
    """Lets so many through each second, a tenth of a second's worth at once.

    Args:
        rate_hz: how many; 0 lets everything through.
        now_s: monotonic seconds, as later calls.
    """

    def __init__(self, rate_hz: float, now_s: float) -> None:
        self._rate_hz = rate_hz
        self._burst = max(1.0, rate_hz * _BURST_S)
        self._tokens = self._burst
        self._counted_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait for the next one; 0 if it may go now."""
        if self._rate_hz == 0:
            return 0.0
        self._tokens = min(self._burst, self._tokens + (now_s - self._counted_s) * self._rate_hz)
        self._counted_s = now_s
        return max(0.0, (1.0 - self._tokens) / self._rate_hz)

    def spend(self) -> None:
        """One has gone."""
        self._tokens -= 1.0
