"""``[watches.NAME.picture]``: a picture with every event."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edge.config.values import Section


class PictureConfig(Section, frozen=True, kw_only=True):
    """``[watches.NAME.picture]``: where this table stands, a JPEG goes with every event of the watch.

    ``of`` is the watch's ``region`` or the whole ``frame``. It is no wider or higher than ``max_px``, and no larger
    than ``max_bytes``: a picture that is gets a lower quality, then a smaller size.
    """

    of: Literal["region", "frame"] = "region"
    max_px: Annotated[int, msgspec.Meta(ge=32, le=4096)] = 640
    quality: Annotated[int, msgspec.Meta(ge=10, le=100)] = 80
    max_bytes: Annotated[int, msgspec.Meta(ge=2000, le=4_000_000)] = 150_000
