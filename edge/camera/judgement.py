"""Are a camera's pictures worth an answer? Decided from what was measured on one frame a second; the time is passed in.

Every complaint must hold for a while before it counts, and be over for a while before it does not, with a stretch
between the two limits where what was said last stays said.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

from edge.value import Mutable

if TYPE_CHECKING:
    from edge.camera.protocol import Sight

Fault = Literal["dark", "covered", "frozen"]

DARK_BELOW, LIGHT_ABOVE = 24.0, 32.0
"""Grey levels of the brightest hundredth of the picture. A yard at night with one lamp in it is not dark."""
COVERED_BELOW, CLEAR_ABOVE = 0.04, 0.055
"""Clarity. Of 1,500 real pictures none had less than 0.047. One colour with noise has less than 0.03, and of pictures
that were blurred over six hundredths of their width 19 in 20 have less than 0.041."""
HOLD_S = 3.0
"""How long the picture must be bad, or good again."""
_REMEMBERED = 32


class _Complaint(Mutable):
    """One complaint, said or not, and since when the opposite has been seen."""

    stands: bool = False
    doubted_at_s: float | None = None

    def see(self, now_s: float, hold_s: float, *, bad: bool, good: bool) -> None:
        """Take one measurement in; neither bad nor good leaves things as they are."""
        if not (good if self.stands else bad):
            self.doubted_at_s = None
            return
        if self.doubted_at_s is None:
            self.doubted_at_s = now_s
        if now_s - self.doubted_at_s >= hold_s:
            self.stands, self.doubted_at_s = not self.stands, None


class Judgement:
    """What one camera's frames have shown so far.

    Args:
        frozen_after_s: for so long nothing but pictures that were seen before, and the camera is frozen; 0 is never.
            A stream of one unchanging picture repeats itself exactly, but for the key frames in between: so a picture
            need not equal the last one, but one of the last half minute. A sensor's noise never repeats.
    """

    def __init__(self, frozen_after_s: float) -> None:
        self._frozen_after_s = frozen_after_s
        self._seen: deque[int] = deque(maxlen=_REMEMBERED)
        self._dark = _Complaint()
        self._covered = _Complaint()
        self._frozen = _Complaint()

    @property
    def fault(self) -> Fault | None:
        """What is wrong with the pictures, the worst first; None when nothing is."""
        if self._dark.stands:
            return "dark"
        if self._covered.stands:
            return "covered"
        return "frozen" if self._frozen.stands else None

    def see(self, sight: Sight, now_s: float) -> None:
        """Take a measurement in."""
        self._dark.see(now_s, HOLD_S, bad=sight.brightest < DARK_BELOW, good=sight.brightest > LIGHT_ABOVE)
        self._covered.see(now_s, HOLD_S, bad=sight.clarity < COVERED_BELOW, good=sight.clarity > CLEAR_ABOVE)
        if sight.fingerprint is None or not self._frozen_after_s:
            return
        repeated = sight.fingerprint in self._seen
        self._seen.append(sight.fingerprint)
        hold_s = 0.0 if self._frozen.stands else self._frozen_after_s - 1  # the picture before it was seen a second ago
        self._frozen.see(now_s, hold_s, bad=repeated, good=not repeated)
