"""A frame: one picture of a camera and when it was taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.value import Value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Image = npt.NDArray[np.uint8]
    """``(H, W, 3) uint8 BGR``, as OpenCV decodes it, unless a docstring says otherwise."""


class Frame(Value, frozen=True):
    """One picture of a camera.

    Attributes:
        image: ``(H, W, 3) uint8 BGR``. It may lie in memory shared with the decoder: valid until the frame is released.
        number: counts the camera's frames from 0, those nobody looked at included.
        captured_at_s: UTC seconds since 1970 when the decoder had it.
        clock_s: the time that decisions go by: monotonic seconds for a live camera, the position in a recording.
    """

    image: Image
    number: int
    captured_at_s: float
    clock_s: float
