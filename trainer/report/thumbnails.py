"""Pictures inside the page: small JPEGs as data URIs, upright."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.errors import PictureError
from edge.preprocess import read_picture

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_SIDE_PX = 320
"""Sharp on a phone's dense display; about 15 kB each."""
_QUALITY = 80


def data_uri(path: Path) -> str:
    """A picture file as a ``data:`` URI; ``""`` where it can no longer be read: better a gap than no page."""
    try:
        image = read_picture(path)
    except PictureError:
        return ""
    height, width = image.shape[:2]
    scale = min(1.0, LONGEST_SIDE_PX / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
