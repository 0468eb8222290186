"""``[watches.NAME]``: a question asked of a camera."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edge.config.picture import PictureConfig
from edge.config.values import Fraction, Name, PositiveSeconds, Seconds, Section
from edge.errors import ConfigError
from edge.watch.schedule import Schedule

Pixel = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
_CORNERS_MIN = 3


class MotionConfig(Section, frozen=True, kw_only=True):
    """``[watches.NAME.motion]``: what counts as motion.

    More than ``area`` of the region must differ by more than ``threshold`` grey levels from what was last looked at.
    The watch then looks for at least ``keep_s``.
    """

    threshold: Annotated[int, msgspec.Meta(ge=1, le=254)] = 12
    area: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.01
    keep_s: Seconds = 2.0


class SamplesConfig(Section, frozen=True, kw_only=True):
    """``[watches.NAME.samples]``: which pictures are kept for the next training, in the state directory.

    Those whose answer is ``unknown`` or scores below ``uncertain``, those at which the state ``changed``, and a share
    ``random`` of all looks; at most one each ``interval_s``, changes apart. The oldest go.
    """

    uncertain: Fraction = 0.6
    changed: bool = True
    random: Fraction = 0.0
    interval_s: Seconds = 10.0
    max_count: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 500
    max_bytes: Annotated[int, msgspec.Meta(ge=100_000, le=10**13)] = 100_000_000


class WatchConfig(Section, frozen=True, kw_only=True):
    """``[watches.NAME]``: a question asked of a camera; ``docs/watches.md`` has each key with an example.

    Where: ``roi`` is ``[left, top, right, bottom]`` as fractions of the frame, ``polygon`` a list of ``[x, y]``; both
    may be given in pixels. When: every ``interval_s`` (0: every frame), where ``cadence`` says so only after motion or
    on command, within ``schedule``. How an answer becomes the state: scores averaged over ``smooth_s`` or by the
    ``majority`` of the last looks, of at least ``min_score``, left below ``leave_score``, held for ``hold_s`` and
    ``hold_frames``, no sooner than ``cooldown_s`` after the last change, and ``stale`` after ``max_age_s`` without one.

    ``kind`` ``teach`` answers with classes taught on the device (``docs/teach.md``) instead of the model's.
    ``answers`` publishes every single answer beside the states and events, for a subscriber that does its own deciding.
    ``output`` ``embedding`` publishes the feature vector of every look instead of deciding; ``auto`` does so for models
    of kind ``embed``. ``encoding`` says how its numbers are written, ``l2`` brings it to length 1 before.
    """

    camera: Name
    model: Name
    kind: Literal["model", "teach"] = "model"
    roi: tuple[Fraction, Fraction, Fraction, Fraction] = (0.0, 0.0, 1.0, 1.0)
    roi_px: tuple[Pixel, Pixel, Pixel, Pixel] | None = None
    polygon: tuple[tuple[Fraction, Fraction], ...] | None = None
    polygon_px: tuple[tuple[Pixel, Pixel], ...] | None = None
    cadence: Literal["interval", "motion", "command"] = "interval"
    interval_s: Seconds = 1.0
    motion: MotionConfig = MotionConfig()
    schedule: tuple[str, ...] = ()
    smooth_s: Seconds = 0.0
    majority: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    min_score: Fraction = 0.0
    min_scores: dict[str, Fraction] = msgspec.field(default_factory=dict)
    leave_score: Fraction | None = None
    hold_s: Seconds = 0.0
    hold_frames: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    cooldown_s: Seconds = 0.0
    max_age_s: PositiveSeconds | None = None
    samples: SamplesConfig | None = None
    top: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    answers: bool = False
    output: Literal["auto", "answer", "embedding"] = "auto"
    encoding: Literal["float16", "int8", "list"] = "float16"
    l2: bool = False
    picture: PictureConfig | None = None

    def check(self, name: str, where: str) -> None:
        """Find what the types cannot.

        Raises:
            ConfigError: the region is empty or given twice, a time of the schedule is none, or rules contradict.
        """
        at = f"{where}: watches.{name}"
        self._check_region(at)
        try:
            Schedule.parse(self.schedule)
        except ValueError as error:
            raise ConfigError(f"{at}.schedule: {error}") from error
        if self.smooth_s and self.majority > 1:
            raise ConfigError(f"{at}: smooth_s and majority are two ways to the same end; give one of them")
        if self.max_age_s is not None and self.max_age_s <= self.interval_s:
            raise ConfigError(
                f"{at}.max_age_s: {self.max_age_s:g} is not longer than interval_s ({self.interval_s:g}), so that "
                "every answer would be too old before the next; give several intervals"
            )

    def _check_region(self, at: str) -> None:
        keys = [key for key in ("roi_px", "polygon", "polygon_px") if getattr(self, key) is not None]
        if self.roi != (0.0, 0.0, 1.0, 1.0):
            keys.insert(0, "roi")
        if len(keys) > 1:
            raise ConfigError(f"{at}: {' and '.join(keys)} say where to look; give one of them")
        for key in ("roi", "roi_px"):
            box = getattr(self, key)
            if box is not None and (box[0] >= box[2] or box[1] >= box[3]):
                unit = "pixels" if key == "roi_px" else "fractions of the frame"
                raise ConfigError(
                    f"{at}.{key}: {list(box)} is empty; give [left, top, right, bottom] "
                    f"as {unit} with left < right and top < bottom"
                )
        for key in ("polygon", "polygon_px"):
            corners = getattr(self, key)
            if corners is not None and (len(corners) < _CORNERS_MIN or _area(corners) == 0):
                raise ConfigError(f"{at}.{key}: encloses nothing; give three corners [x, y] or more, not in one line")


def _area(corners: tuple[tuple[float, float], ...]) -> float:
    """Twice the area that a polygon encloses, by the shoelace formula; of one that crosses itself, parts cancel."""
    following = corners[1:] + corners[:1]
    return abs(sum(x * y_next - x_next * y for (x, y), (x_next, y_next) in zip(corners, following, strict=True)))
