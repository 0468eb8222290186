"""When a watch looks: its own beat, and what keeps it from looking."""

from __future__ import annotations

import math

ON_COMMAND = "it looks on command only"
PAUSED = "paused"
OFF_SCHEDULE = "outside its schedule"


class Cadence:
    """The beat of one watch, on the clock of its camera's frames. One thread at a time.

    Args:
        interval_s: between two looks; 0 looks at every frame.

    Attributes:
        missed: looks that were due and not taken because the device was busy: beats, or frames where it looks at all.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._next_s = 0.0  # frames' clocks begin at 0 at the earliest, so the first frame is always looked at
        self._looked_s: float | None = None
        self._number: int | None = None
        self._counts = False
        self._resting: dict[str, None] = {}
        self.missed = 0

    @property
    def due_s(self) -> float:
        """When it wants to look again; minus infinity where it looks at every frame, infinity while it rests."""
        if self._resting:
            return math.inf
        return self._next_s if self._interval_s else -math.inf

    @property
    def interval_s(self) -> float:
        """Between two looks; 0 is at every frame."""
        return self._interval_s

    def set_interval(self, interval_s: float) -> None:
        """Go on in another interval, counted from the last look."""
        self._interval_s = interval_s
        if self._looked_s is not None:
            self._next_s = self._looked_s + interval_s
        self._forget()

    @property
    def resting(self) -> str | None:
        """Why it does not look, what a person told it first; ``None`` while it does."""
        return PAUSED if PAUSED in self._resting else next(iter(self._resting), None)

    def rest(self, reason: str) -> None:
        """Do not look, until woken for the same reason."""
        self._resting[reason] = None

    def wake(self, reason: str) -> None:
        """Look again, unless there is another reason not to; what was missed meanwhile was not wanted."""
        if reason in self._resting:
            del self._resting[reason]
            self._forget()

    def ordered(self, now_s: float) -> None:
        """A frame is ordered for a look that is due: beats that passed before anyone came to it are missed."""
        if self._interval_s and self._counts and not self._resting:
            self.missed += max(0, int((now_s - self._next_s) / self._interval_s))
            self._counts = False

    def looked(self, clock_s: float, number: int) -> None:
        """It looks at a frame: the next look is one interval after this one was due, unless that has passed as well."""
        if self._interval_s == 0 and self._counts and not self._resting and self._number is not None:
            self.missed += max(0, number - self._number - 1)
        self._number, self._looked_s, self._counts = number, clock_s, True
        if clock_s < self._next_s:
            return  # a look out of turn leaves the beat as it is
        on_beat_s = self._next_s + self._interval_s
        self._next_s = on_beat_s if on_beat_s > clock_s else clock_s + self._interval_s

    def _forget(self) -> None:
        self._counts = False
        self._number = None
