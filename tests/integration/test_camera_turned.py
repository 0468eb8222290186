"""A video whose file says that it is to be turned, through a real camera process."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge.camera import Camera, recorded_frames
from edge.config import CameraConfig


def test_a_video_is_turned_as_its_file_says_and_then_as_configured(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 32))
    frame = np.zeros((32, 64, 3), np.uint8)
    frame[:16, :32] = 255  # the upper left quarter
    for _ in range(5):
        writer.write(frame)
    writer.release()
    upright, turned, askew = (b"".join(n.to_bytes(4, "big", signed=True) for n in matrix) for matrix in (
        (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30),
        (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30),
        (11_380, 64_540, 0, -64_540, 11_380, 0, 0, 0, 1 << 30),  # by 80 degrees
    ))  # fmt: skip
    data = path.read_bytes()
    track = data.index(b"tkhd")
    at = data.index(upright, track)
    path.write_bytes(data[:at] + turned + data[at + len(turned) :])
    crooked = tmp_path / "crooked.mp4"
    crooked.write_bytes(data[:at] + askew + data[at + len(askew) :])
    for config, bright in (
        (CameraConfig(source=str(crooked), pace="fast"), (0, 1)),  # as near as quarters come
        (CameraConfig(source=str(path), pace="fast"), (0, 1)),  # clockwise: the upper left goes to the upper right
        (CameraConfig(source=str(path), pace="fast", rotate_deg=180, mirror=True), (1, 1)),
    ):
        with Camera("clip", config) as camera:
            camera.start()
            image = next(recorded_frames(camera)).image
            assert image.shape == (64, 32, 3)
            quarters = {
                (row, column): image[row * 32 : row * 32 + 32, column * 16 : column * 16 + 16].mean()
                for row in (0, 1)
                for column in (0, 1)
            }
            assert max(quarters, key=lambda quarter: quarters[quarter]) == bright, quarters
