"""What a camera costs, and whether more of them cost more each: ``python benchmarks/cameras.py``, about two minutes.

One, two, four and eight cameras look at one stream of GStreamer's RTSP server (H.264, 25 frames a second), every
frame asked for. Printed for each: processor time of its process per frame that came, its memory (proportional set
size), and the share of frames that were skipped, of the camera that skipped least and most.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from multiprocessing.connection import wait
from pathlib import Path

from processes import cpu_s, memory_mb

from edge.camera import Camera, warm_up
from edge.config import CameraConfig

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from rtsp import moving, rtsp_server  # type: ignore[import-not-found]  # shared with the tests
from watching import free_port  # type: ignore[import-not-found]  # likewise

SECONDS = 8.0
SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}


def serve(cameras: list[Camera], seconds: float) -> None:
    """Take every frame of every camera."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for camera in cameras:
            camera.request()
        wait([camera.connection for camera in cameras if camera.connection], timeout=0.05)
        for camera in cameras:
            for frame in camera.receive():
                camera.release(frame)
            camera.tick(time.monotonic())


def measure(url: str, count: int) -> str:
    """One line for so many cameras."""
    with ExitStack() as stack:
        cameras = [stack.enter_context(Camera(f"c{number}", CameraConfig(source=url))) for number in range(count)]
        for camera in cameras:
            camera.start()
        give_up_s = time.monotonic() + 60
        while not all(camera.status.delivered for camera in cameras):
            assert time.monotonic() < give_up_s, [camera.status for camera in cameras]
            serve(cameras, 0.5)
        pids = [camera.pid for camera in cameras]
        began = [(camera.status, cpu_s([pid or 0])) for camera, pid in zip(cameras, pids, strict=True)]
        serve(cameras, SECONDS)
        assert pids == [camera.pid for camera in cameras], "a decoder was replaced"
        costs_ms, skipped, came = [], [], []
        for camera, pid, (before, before_s) in zip(cameras, pids, began, strict=True):
            frames = max(1, camera.status.grabbed - before.grabbed)
            costs_ms.append((cpu_s([pid or 0]) - before_s) * 1000 / frames)
            skipped.append((camera.status.skipped - before.skipped) / frames)
            came.append(frames / SECONDS)
        memory = [memory_mb(pid or 0) for pid in pids]
    return (
        f"{count:>3} {sum(costs_ms) / count:8.2f} {min(came):7.1f} {max(came):7.1f} "
        f"{min(skipped):8.1%} {max(skipped):7.1%} {sum(memory) / count:8.1f} {max(memory):7.1f}"
    )


def main() -> None:
    """Measure every size and count."""
    warm_up()
    for name, (width_px, height_px) in SIZES.items():
        print(f"\n{name} H.264, 25 frames/s      frames/s came    skipped         memory, MB")
        print("cameras ms/frame     min     max      min     max     mean     max")
        port = free_port()
        with rtsp_server(port, moving(width_px, height_px)):
            for count in (1, 2, 4, 8):
                print(measure(f"rtsp://127.0.0.1:{port}/live", count), flush=True)


if __name__ == "__main__":
    main()
