"""From a file or frame to the model's input: the only implementation, used in the field and in training alike.

A mismatch between training and serving is how such systems are quietly wrong; with one implementation it cannot be
expressed.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge import MAX_PICTURE_PIXELS, PICTURE_SUFFIXES
from edge.errors import PictureError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from edge.frame import Image
    from edge.model_card import InputSpec

__all__ = [
    "PICTURE_SUFFIXES",
    "Roi",
    "crop_roi",
    "decode_picture",
    "map_pixels",
    "prepare",
    "read_encoded",
    "read_picture",
    "resize",
]

cv2.setNumThreads(1)  # waking threads for one small picture costs more than it saves, and models want the other cores

LETTERBOX_GREY = 114
_MAX_FILE_BYTES = 8 * MAX_PICTURE_PIXELS
"""Of the largest picture, uncompressed: four channels of 16 bits."""
_COLOR_CODES = {"rgb": cv2.COLOR_BGR2RGB, "gray": cv2.COLOR_BGR2GRAY}

Roi = tuple[float, float, float, float]
"""``(left, top, right, bottom)`` as fractions of the frame, so that it stays right when the resolution changes."""


def read_picture(path: Path) -> Image:
    """Decode a picture file to ``(H, W, 3) uint8 BGR``, upright (EXIF rotation applied), 16-bit and grey ones included.

    Raises:
        PictureError: the file cannot be read, is no picture, is cut off, or is larger than ``MAX_PICTURE_PIXELS``.
    """
    return decode_picture(read_encoded(path), name=str(path))


def read_encoded(path: Path) -> Image:
    """The bytes of a picture file, ``(n,) uint8``, for ``decode_picture``.

    Raises:
        PictureError: the file cannot be read, is a pipe or device, or is larger than any picture.
    """
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # a pipe would be waited on for ever
            raise PictureError(f"{path}: cannot be read: is a pipe or a device, no file")
        if status.st_size > _MAX_FILE_BYTES:
            raise PictureError(f"{path}: refused: more than {_MAX_FILE_BYTES:,} bytes")
        return np.fromfile(path, dtype=np.uint8)  # unlike cv2.imread this takes any file name
    except OSError as error:
        raise PictureError(f"{path}: cannot be read: {error.strerror or error}") from error


def decode_picture(encoded: Image, *, name: str) -> Image:
    """Decode the bytes of a picture, ``(n,) uint8``, to ``(H, W, 3) uint8 BGR``; ``name`` is for messages.

    Raises:
        PictureError: as ``read_picture``.
    """
    if encoded.size == 0:
        raise PictureError(f"{name}: the file is empty; remove or replace it")
    if _is_cut_jpeg(encoded):
        raise PictureError(f"{name}: the picture is cut off (its end is missing); remove or replace it")
    try:
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise PictureError(f"{name}: refused: damaged, or more than {MAX_PICTURE_PIXELS:,} pixels") from error
    if image is None:
        raise PictureError(f"{name}: is not a picture that can be decoded; remove or replace it")
    return np.asarray(image, dtype=np.uint8)


def _is_cut_jpeg(encoded: Image) -> bool:
    """OpenCV decodes a truncated JPEG to a picture with a grey lower part; only the missing end marker tells.

    It is looked for behind the header, as an EXIF thumbnail has its own; anything may follow it. Header segments are
    ``ff``, a marker, and two bytes of length; marker ``da`` begins the pixels (ITU-T T.81, B.1.1.4).
    """
    data = encoded.tobytes()
    if not data.startswith(b"\xff\xd8"):
        return False
    position = 2
    while data[position : position + 1] == b"\xff" and data[position + 1 : position + 2] != b"\xda":
        is_padding = data[position + 1 : position + 2] == b"\xff"
        position += 1 if is_padding else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data.find(b"\xff\xd9", position) < 0


def prepare(image: Image, spec: InputSpec, *, roi: Roi | None = None) -> Image:
    """Crop, resize and order the colours of a frame as a model wants it.

    Args:
        image: ``(H, W, 3) uint8 BGR``.
        spec: its ``height_px`` and ``width_px`` must be set.
        roi: the region to look at; ``None`` is the whole frame.

    Returns:
        ``(height_px, width_px, 3) uint8`` in the order of ``spec.color``, or ``(height_px, width_px, 1)`` for ``gray``.
    """
    width_px, height_px = spec.width_px, spec.height_px
    if width_px is None or height_px is None:
        raise ValueError("the InputSpec has no size yet")
    if roi is not None:
        image = crop_roi(image, roi)
    if spec.resize == "crop":
        image = _centre_crop(image, width_px / height_px)
    if spec.resize == "letterbox":
        image = _letterbox(image, width_px, height_px, spec.kernel)
    else:
        image = resize(image, width_px, height_px, spec.kernel)
    if spec.color == "bgr":
        return image
    ordered = cv2.cvtColor(image, _COLOR_CODES[spec.color])
    return np.asarray(ordered, dtype=np.uint8).reshape(height_px, width_px, -1)


def map_pixels(picture: Image, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Replace each value of a ``(H, W, C) uint8`` picture by its entry in a ``(256,)`` table of any type."""
    return cv2.LUT(picture, table).reshape(picture.shape)


def crop_roi(image: Image, roi: Roi) -> Image:
    """The part of an image inside a region, as a view; at least one pixel.

    Args:
        image: ``(H, W, C) uint8``.
        roi: fractions of the frame.
    """
    height, width = image.shape[:2]
    left, right = _span(roi[0], roi[2], width)
    top, bottom = _span(roi[1], roi[3], height)
    return image[top:bottom, left:right]


def _span(start: float, end: float, size_px: int) -> tuple[int, int]:
    first = min(round(start * size_px), size_px - 1)
    return first, max(round(end * size_px), first + 1)


def resize(image: Image, width_px: int, height_px: int, kernel: str = "halving") -> Image:
    """Resize ``(H, W, 3) uint8`` to ``(height_px, width_px, 3)``.

    ``halving`` averages exact 2x2 blocks until the image is less than twice the target, then interpolates linearly:
    close to ``area``, which is exact and costs two inferences of a MobileNetV2 at 1080p, at an eighth of its cost.
    """
    if kernel == "halving":
        height, width = image.shape[:2]
        while height >= 2 * height_px and width >= 2 * width_px:
            height, width = height // 2, width // 2
            # An odd last row or column is left out: exact halves are what makes this kernel fast.
            image = _resized(image[: height * 2, : width * 2], width, height, cv2.INTER_AREA)
    if image.shape[:2] == (height_px, width_px):
        return image
    return _resized(image, width_px, height_px, cv2.INTER_AREA if kernel == "area" else cv2.INTER_LINEAR)


def _resized(image: Image, width_px: int, height_px: int, interpolation: int) -> Image:
    return np.asarray(cv2.resize(image, (width_px, height_px), interpolation=interpolation), dtype=np.uint8)


def _centre_crop(image: Image, aspect: float) -> Image:
    height, width = image.shape[:2]
    crop_width = max(1, min(width, round(height * aspect)))
    crop_height = max(1, min(height, round(width / aspect)))
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return image[top : top + crop_height, left : left + crop_width]


def _letterbox(image: Image, width_px: int, height_px: int, kernel: str) -> Image:
    height, width = image.shape[:2]
    scale = min(width_px / width, height_px / height)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = np.full((height_px, width_px, 3), LETTERBOX_GREY, dtype=np.uint8)
    left, top = (width_px - inner_width) // 2, (height_px - inner_height) // 2
    canvas[top : top + inner_height, left : left + inner_width] = resize(image, inner_width, inner_height, kernel)
    return canvas
