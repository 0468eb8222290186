"""Folders of pictures to audit: photographs of different things, and frames of a fixed camera."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from edge.frame import Image


def photograph(seed: int, height: int = 48, width: int = 64) -> Image:
    """Soft blobs of colour: two seeds look nothing alike."""
    blobs = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(cv2.resize(blobs, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def frame(second: int, seed: int = 0) -> Image:
    """A fixed scene in which a disc wanders slowly, with a camera's noise."""
    image = photograph(seed, 96, 128)
    cv2.circle(image, (64 + round(50 * np.sin(second / 40)), 48), 9, (0, 0, 255), -1)
    noise = np.random.default_rng((seed, second)).integers(-5, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def jpeg(image: Image, quality: int = 95) -> bytes:
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


def write(path: Path, image: Image, quality: int = 95) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(image, quality))
    return path


def photographs(folder: Path, count: int, seed: int = 0) -> None:
    for number in range(count):
        write(folder / f"{number:03}.jpg", photograph(1000 * seed + number))


def recording(folder: Path, seconds: range, seed: int = 0, name: str = "f{:05}.jpg") -> None:
    for second in seconds:
        write(folder / name.format(second), frame(second, seed))


def with_exif(encoded: bytes, *, orientation: int = 1, taken: str = "", order: str = "<") -> bytes:
    """A JPEG with an EXIF segment: an orientation, and a time such as ``2026:05:01 12:30:00``."""
    left = orientation << 16 if order == ">" else orientation
    main = struct.pack(order + "HHHII", 2, 0x0112, 3, 1, left) + struct.pack(order + "HHII", 0x8769, 4, 1, 38)
    sub = struct.pack(order + "HHHII", 1, 0x9003, 2, 20, 60) + bytes(4)
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + main + bytes(4)
    tiff = (tiff + sub).ljust(60, b"\0") + taken.encode().ljust(20, b"\0")
    segment = b"Exif\0\0" + tiff
    return encoded[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + encoded[2:]
