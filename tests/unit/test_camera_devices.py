"""What devices are asked for, and what they give: turned pictures, grey and 16-bit ones, settings that are refused."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.camera.capture import as_bgr
from edge.camera.device import _PROPERTIES, configure
from edge.camera.turned import turned
from edge.config import CameraConfig, parse_config
from edge.config.camera import CONTROLS
from edge.errors import ConfigError

PICTURE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize("rotate_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
def test_turning_is_clockwise_and_then_mirrored(*, rotate_deg: int, mirror: bool, in_place: bool) -> None:
    expected = np.rot90(PICTURE, -rotate_deg // 90)
    expected = expected[:, ::-1] if mirror else expected
    out = np.zeros(expected.shape, np.uint8) if in_place else None
    got = turned(PICTURE, rotate_deg, mirror=mirror, out=out)
    assert np.array_equal(got, expected)
    assert got is out or not in_place or not (rotate_deg or mirror)


def test_grey_and_16_bit_pictures_become_bgr() -> None:
    grey = np.array([[0, 100], [200, 255]], np.uint8)
    expected = np.repeat(grey[:, :, None], 3, axis=2)
    for given in (grey, grey[:, :, None], grey.astype(np.uint16) * 257, (grey.astype(np.uint16) * 256)[:, :, None]):
        assert np.array_equal(as_bgr(given), expected)
    colour = np.full((2, 2, 3), 7, np.uint8)
    assert as_bgr(colour) is colour


class FakeDevice:
    """A driver that knows some settings, and bounds one of them."""

    def __init__(self, **known: float) -> None:
        self.values = {getattr(cv2, f"CAP_PROP_{name}"): value for name, value in known.items()}
        self.asked: list[int] = []

    def set(self, propId: int, value: float) -> bool:  # noqa: N803  OpenCV's name
        self.asked.append(propId)
        if propId in self.values:
            self.values[propId] = min(value, 1280) if propId == cv2.CAP_PROP_FRAME_WIDTH else value
        return propId in self.values

    def get(self, propId: int) -> float:  # noqa: N803  OpenCV's name
        return self.values.get(propId, -1.0)  # as OpenCV does


def test_a_device_is_asked_for_its_format_first_and_for_automatisms_before_values() -> None:
    device = FakeDevice(FOURCC=0, FRAME_WIDTH=640, FRAME_HEIGHT=480, FPS=30, EXPOSURE=1, AUTO_EXPOSURE=3)
    config = CameraConfig(
        source=0,
        width_px=1280,
        height_px=720,
        rate_hz=15,
        pixel_format="MJPG",
        controls={"exposure": 150, "auto_exposure": 1},
    )
    assert configure(device, config) == ()
    assert device.asked[:3] == [cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT]
    assert device.asked[-2:] == [cv2.CAP_PROP_AUTO_EXPOSURE, cv2.CAP_PROP_EXPOSURE]


def test_what_a_driver_refuses_is_said_by_name_and_the_rest_is_set() -> None:
    device = FakeDevice(FRAME_WIDTH=640, FRAME_HEIGHT=480, GAIN=1)
    wide = CameraConfig(source=0, width_px=4000, pixel_format="YUYV", controls={"focus": 20, "gain": 7})
    notes = configure(device, wide)
    assert device.values[cv2.CAP_PROP_GAIN] == 7
    assert [note.split(" was refused")[0] for note in notes] == [
        "pixel_format YUYV",
        "width_px 4000",
        "controls.focus 20",
    ]
    assert notes[1].endswith("it is 1280")
    assert notes[2].endswith("it has none")


@pytest.mark.parametrize(
    ("camera", "complaint"),
    [
        ({"source": "scene:nope"}, "cameras.yard.source: there is no scene 'nope'"),
        ({"source": "HTTP://host/"}, "cameras.yard.source: HTTP://host/: write http in small letters"),
        ({"source": 0, "controls": {"gian": 1}}, "controls.gian: unknown control; did you mean 'gain'"),
        ({"source": 0, "controls": {"gain": 2**31}}, "cameras.yard.controls.gain: no control takes that"),
        ({"source": 0, "controls": {"gain": float("nan")}}, "cameras.yard.controls.gain: no control takes that"),
        ({"source": 0, "controls": {"a\nb": 1}}, r"cameras.yard.controls.'a\nb': unknown control"),
        ({"source": "rtsp://h/", "controls": {"gain": 1}}, "controls: only for a V4L2 device, and rtsp://h/ is none"),
        ({"source": "http://h/", "transport": "udp"}, "transport: only for an rtsp:// stream"),
        ({"source": "clip.mp4", "username": "me"}, "username: only for a network stream"),
        ({"source": "rtsp://h/", "password_file": "secret"}, "username: is missing"),
        ({"source": "rtsp://a:b@h/", "username": "me"}, "there are credentials in the source as well"),
        ({"source": "rtsp://h/", "hot": "move"}, "hot: only for a folder of pictures"),
        ({"source": 0, "rotate_deg": 45}, "cameras.yard.rotate_deg: invalid enum value 45"),
        ({"source": 0, "pixel_format": "mjpg"}, "cameras.yard.pixel_format"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_the_configuration_is_read(
    camera: dict[str, Any], complaint: str, tmp_path: Any
) -> None:
    raw = {
        "device": {"id": "gate-1"},
        "cameras": {"yard": camera},
        "models": {"gate": {"file": "gate.tflite"}},
        "watches": {"gate": {"camera": "yard", "model": "gate"}},
    }
    with pytest.raises(ConfigError) as refusal:
        parse_config(raw, where="edge.toml", base=tmp_path)
    assert complaint in str(refusal.value)
    assert refusal.value.exit_code == 78
    assert "a:b" not in str(refusal.value)


def test_a_sign_in_the_path_of_an_address_is_no_credential(tmp_path: Any) -> None:
    CameraConfig(source="http://host/cam@2/x.jpg?mail=a@b", username="me").check("yard", "edge.toml")


def test_every_camera_of_the_documentation_is_understood(tmp_path: Any) -> None:
    text = (Path(__file__).parents[2] / "docs" / "cameras.md").read_text(encoding="utf-8")
    blocks = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]
    assert len(blocks) >= 5
    cameras = {name: camera for block in blocks for name, camera in block["cameras"].items()}
    raw = {
        "device": {"id": "gate-1"},
        "cameras": cameras,
        "models": {"parts": {"file": "parts.tflite"}},
        "watches": {name: watch for block in blocks for name, watch in block.get("watches", {}).items()},
    }
    assert set(parse_config(raw, where="docs", base=tmp_path).cameras) == set(cameras)
    listed = re.search(r"Known\s+controls:(.*?);", text, re.DOTALL)
    assert listed is not None
    assert tuple(re.findall(r"`(\w+)`", listed[1])) == CONTROLS == tuple(sorted(_PROPERTIES))
