"""One look at each picture: decoded once, remembered in a few hundred bytes, so 50,000 pictures fit in memory."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import PictureError
from edge.preprocess import PICTURE_SUFFIXES, decode_picture, read_encoded, resize
from trainer.exif import read_exif
from trainer.phash import COPY_PX, THUMBNAIL_PX, perceptual_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from edge.frame import Image

_AT_ONCE = 256  # so few results wait for their turn
_MAX_WORKERS = 4  # each holds one decoded picture, 300 MB at most


@dataclass(frozen=True, slots=True)
class Facts:
    """What is kept of a picture.

    Attributes:
        width_px: of the upright picture.
        height_px: likewise.
        digest: SHA-256 of the file.
        hash: perceptual hash, 64 bits (``trainer.phash``).
        thumbnail: ``(8, 8, 3) uint8 BGR`` as bytes.
        luminance: mean grey level, 0…255.
        colourfulness: 0 is grey, about 15 slightly and 110 extremely colourful (Hasler and Süsstrunk 2003).
        turned: whether EXIF asks to turn or mirror it, which ``read_picture`` has done.
        taken_s: when it was taken, for order only; see ``trainer.exif``.
    """

    width_px: int
    height_px: int
    digest: bytes
    hash: int
    thumbnail: bytes
    luminance: float
    colourfulness: float
    turned: bool
    taken_s: float | None


def look_at(path: Path) -> Facts | str:
    """Decode a picture file: its facts, or one line that says why it cannot be used."""
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        return f"{path}: is no picture by its name; left out"
    try:
        content = read_encoded(path)
        image = decode_picture(content, name=str(path))
    except PictureError as error:
        return f"{error} (left out)"
    encoded = content.tobytes()
    exif = read_exif(encoded)
    copy = resize(image, COPY_PX, COPY_PX, "area")
    return Facts(
        width_px=image.shape[1],
        height_px=image.shape[0],
        digest=hashlib.sha256(encoded).digest(),
        hash=perceptual_hash(copy),
        thumbnail=resize(copy, THUMBNAIL_PX, THUMBNAIL_PX, "area").tobytes(),
        luminance=float(copy.mean(axis=(0, 1)) @ (0.114, 0.587, 0.299)),  # ITU-R BT.601
        colourfulness=_colourfulness(copy),
        turned=exif.orientation != 1,
        taken_s=exif.taken_s,
    )


def thumbnails(facts: Sequence[Facts]) -> npt.NDArray[np.uint8]:
    """The thumbnails of many pictures: ``(n, 8, 8, 3) uint8 BGR``."""
    joined = b"".join(fact.thumbnail for fact in facts)
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(facts), THUMBNAIL_PX, THUMBNAIL_PX, 3)


def look_at_all(paths: Sequence[Path], *, on_file: Callable[[], None]) -> Iterator[Facts | str]:
    """Look at many files with a few threads; results come in the order of ``paths``."""
    with ThreadPoolExecutor(min(_MAX_WORKERS, os.cpu_count() or 1), thread_name_prefix="look") as pool:
        for start in range(0, len(paths), _AT_ONCE):
            for result in pool.map(look_at, paths[start : start + _AT_ONCE]):
                on_file()
                yield result


def _colourfulness(copy: Image) -> float:
    blue, green, red = (copy[..., channel].astype(np.float32) for channel in range(3))
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))
