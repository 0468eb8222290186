"""Pictures of noise, each another: what data sets are made of where only their files matter."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def pictures(folder: Path, count: int, seed: int = 0) -> None:
    """Write so many, ``000.png`` and so on, 32x24 pixels; other seeds give other pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image = np.random.default_rng((seed, number)).integers(0, 255, (24, 32, 3), np.uint8)
        (folder / f"{number:03}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
