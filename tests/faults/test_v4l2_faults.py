"""A V4L2 device, as the kernel's virtual camera (vivid) is one: what it is asked for, and that it may be unplugged.

They run where that driver is loaded and may be unbound: ``tests/v4l2/run`` makes such a machine.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from watching import Watcher, waited_s

from edge.camera import Camera
from edge.config import CameraConfig

DRIVER = Path("/sys/bus/platform/drivers/vivid")
PLUG = "vivid.0"
OTHER = CameraConfig(source="scene:gate", rate_hz=20, width_px=320, height_px=180)

pytestmark = pytest.mark.skipif(not DRIVER.exists(), reason="the kernel's virtual camera is not here: tests/v4l2/run")


def device() -> str:
    """The node that it has now."""
    nodes = sorted(Path("/dev").glob("video*"))
    assert nodes, "the virtual camera has no device"
    return str(nodes[0])


def config(**settings: object) -> CameraConfig:
    timeouts = {"open_timeout_s": 8.0, "read_timeout_s": 2.0, "stale_after_s": 2.0}
    return CameraConfig(source=device(), **(timeouts | settings))  # type: ignore[arg-type]


def test_a_device_delivers_what_it_is_asked_for() -> None:
    asked = config(width_px=640, height_px=360, pixel_format="YUYV", controls={"brightness": 100, "contrast": 90})
    with Camera("usb", asked) as camera:
        camera.start()
        Watcher(camera).until_more(camera, 10)
        status = camera.status
        assert (status.state, status.width_px, status.height_px) == ("live", 640, 360)
        assert status.notes == ()


def test_what_a_device_refuses_is_said() -> None:
    with Camera("usb", config(width_px=8192, height_px=360, pixel_format="H264", controls={"zoom": 3})) as camera:
        camera.start()
        Watcher(camera).until_more(camera, 3)
        notes = " ".join(camera.status.notes)
        assert "pixel_format H264 was refused" in notes
        assert "width_px 8192 was refused: it is " in notes
        assert "controls.zoom 3 was refused: it has none" in notes


def test_a_device_that_is_in_use_is_found_when_it_is_free() -> None:
    with Camera("first", config()) as first, Camera("second", config()) as second:
        first.start()
        watcher = Watcher(first)
        watcher.until_more(first, 5)
        second.start()
        watcher = Watcher(first, second)
        watcher.until(lambda: second.status.last_error is not None)
        watcher.until_more(first, 5)
        first.close()
        watcher = Watcher(second)
        watcher.until_more(second, 5)
        assert second.status.state == "live"


@pytest.mark.parametrize("away_s", [0.0, 6.0])
def test_a_device_that_is_unplugged_is_noticed_and_found_again_while_another_camera_keeps_its_pace(
    away_s: float,
) -> None:
    with Camera("usb", config()) as camera, Camera("other", OTHER) as other:
        camera.start()
        other.start()
        watcher = Watcher(camera, other)
        watcher.until_more(camera, 10)
        watcher.until_more(other, 5)
        watcher.longest_s = 0.0
        began_s, excused_s = time.monotonic(), -waited_s()
        (DRIVER / "unbind").write_text(PLUG)
        watcher.until(lambda: camera.status.last_error is not None)
        assert time.monotonic() - began_s < 10 + excused_s + waited_s()
        if away_s:
            watcher.until(lambda: time.monotonic() - began_s > away_s)
            assert camera.status.state == "stale"
        plugged_s, excused_s = time.monotonic(), -waited_s()
        (DRIVER / "bind").write_text(PLUG)
        watcher.until_more(camera, 10)
        assert time.monotonic() - plugged_s < 10 + excused_s + waited_s()
        assert camera.status.state == "live"
        assert camera.status.restarts >= 1
        assert other.status.restarts == 0
        assert watcher.longest_s < 1.0
