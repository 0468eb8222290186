"""JPEGs of a limited size that carry a note of what they show: its comment, which survives every copy of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np

if TYPE_CHECKING:
    from edge.config import PictureConfig
    from edge.frame import Image

Note = dict[str, str | float | None]
_QUALITY_STEPS = (0, 20, 40)
_MIN_QUALITY = 10
_SMALLEST_PX = 32
_START = b"\xff\xd8"
_COMMENT = b"\xff\xfe"
_COMMENT_MAX_BYTES = 65_000
"""A JPEG segment ends before 65,536."""


def shrink(image: Image, max_px: int) -> Image:
    """A copy, ``(h, w, 3) uint8 BGR``, no wider or higher than ``max_px``."""
    scale = max_px / max(image.shape[:2])
    if scale >= 1:
        return np.array(image)
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    while image.shape[0] >= 2 * height and image.shape[1] >= 2 * width:  # area over two pixels is cheap, and no moire
        image = np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def encode(image: Image, note: Note, config: PictureConfig) -> bytes | None:
    """Make a JPEG of at most ``max_bytes`` with the note as its comment; ``None`` if there is no such."""
    comment = msgspec.json.encode(note)
    comment = _COMMENT + (len(comment) + 2).to_bytes(2) + comment if len(comment) < _COMMENT_MAX_BYTES else b""
    while True:
        for step in _QUALITY_STEPS:
            quality = max(_MIN_QUALITY, config.quality - step)
            done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if done and encoded.size + len(comment) <= config.max_bytes:
                return _START + comment + encoded.tobytes()[len(_START) :]
        if max(image.shape[:2]) <= _SMALLEST_PX:
            return None
        image = shrink(image, max(image.shape[:2]) // 2)


def read_note(jpeg: bytes) -> Note | None:
    """Read what such a picture says of itself; ``None`` if it says nothing."""
    if jpeg[:4] != _START + _COMMENT:
        return None
    return msgspec.json.decode(jpeg[6 : 4 + int.from_bytes(jpeg[4:6])], type=Note)
