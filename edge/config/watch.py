"""``[watches.NAME]``: a question asked of a camera."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edge.config.values import Fraction, Name, Seconds, Section
from edge.errors import ConfigError


class WatchConfig(Section, frozen=True, kw_only=True):
    """``[watches.NAME]``: a question asked of a camera.

    ``roi`` is ``[left, top, right, bottom]`` as fractions of the frame. ``interval_s`` 0 asks of every frame.
    An answer becomes the state when it has held for ``hold_s`` seconds and ``hold_frames`` answers in a row;
    an answer whose score is below ``min_score`` is ``unknown``.

    ``output`` ``embedding`` publishes the feature vector of every look instead of deciding; ``auto`` does so for models
    of kind ``embed``. ``encoding`` says how its numbers are written, ``l2`` brings it to length 1 before.
    """

    camera: Name
    model: Name
    roi: tuple[Fraction, Fraction, Fraction, Fraction] = (0.0, 0.0, 1.0, 1.0)
    interval_s: Seconds = 1.0
    hold_s: Seconds = 0.0
    hold_frames: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    min_score: Fraction = 0.0
    top: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    output: Literal["auto", "answer", "embedding"] = "auto"
    encoding: Literal["float16", "int8", "list"] = "float16"
    l2: bool = False

    def check(self, name: str, where: str) -> None:
        """Find what the types cannot.

        Raises:
            ConfigError: the region is empty.
        """
        left, top, right, bottom = self.roi
        if left >= right or top >= bottom:
            raise ConfigError(
                f"{where}: watches.{name}.roi: {list(self.roi)} is empty; give [left, top, right, bottom] "
                "as fractions of the frame with left < right and top < bottom"
            )
