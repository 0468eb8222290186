"""``[cameras.NAME]``: a source of frames."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge.config.values import PositiveSeconds, Section, Text

if TYPE_CHECKING:
    from pathlib import Path


class CameraConfig(Section, frozen=True, kw_only=True):
    """``[cameras.NAME]``: a V4L2 index or device, an RTSP/HTTP URL, a video file, a picture folder, or ``scene:gate``.

    ``pace`` matters for recordings: ``realtime`` plays them as they were filmed, ``fast`` as fast as they are answered.
    """

    source: Text | Annotated[int, msgspec.Meta(ge=0, le=63)]
    pace: Literal["realtime", "fast"] = "realtime"
    loop: bool = False
    width_px: Annotated[int, msgspec.Meta(ge=16, le=8192)] | None = None
    height_px: Annotated[int, msgspec.Meta(ge=16, le=8192)] | None = None
    rate_hz: Annotated[float, msgspec.Meta(gt=0, le=240)] | None = None
    open_timeout_s: PositiveSeconds = 10.0
    read_timeout_s: PositiveSeconds = 5.0
    stale_after_s: PositiveSeconds = 10.0

    def anchored(self, base: Path) -> CameraConfig:
        """The same with absolute paths, relative ones seen from ``base``."""
        if isinstance(self.source, int) or re.match(r"^[a-z][a-z0-9+.-]*:", self.source):
            return self
        return msgspec.structs.replace(self, source=str(base / self.source))
