"""V4L2 devices: what they are asked for, and whether they did it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import cv2

from edge.camera.capture import LiveCapture
from edge.errors import CameraError

if TYPE_CHECKING:
    from edge.config import CameraConfig

_PROPERTIES = {
    # What switches an automatism off comes first: with it on, a driver refuses the value that it chooses itself.
    "auto_exposure": cv2.CAP_PROP_AUTO_EXPOSURE,
    "autofocus": cv2.CAP_PROP_AUTOFOCUS,
    "white_balance_automatic": cv2.CAP_PROP_AUTO_WB,
    "backlight_compensation": cv2.CAP_PROP_BACKLIGHT,
    "brightness": cv2.CAP_PROP_BRIGHTNESS,
    "contrast": cv2.CAP_PROP_CONTRAST,
    "exposure": cv2.CAP_PROP_EXPOSURE,
    "focus": cv2.CAP_PROP_FOCUS,
    "gain": cv2.CAP_PROP_GAIN,
    "gamma": cv2.CAP_PROP_GAMMA,
    "hue": cv2.CAP_PROP_HUE,
    "iris": cv2.CAP_PROP_IRIS,
    "pan": cv2.CAP_PROP_PAN,
    "roll": cv2.CAP_PROP_ROLL,
    "saturation": cv2.CAP_PROP_SATURATION,
    "sharpness": cv2.CAP_PROP_SHARPNESS,
    "tilt": cv2.CAP_PROP_TILT,
    "white_balance_temperature": cv2.CAP_PROP_WB_TEMPERATURE,
    "zoom": cv2.CAP_PROP_ZOOM,
}

_NO_SUCH_SETTING = -1.0
"""What OpenCV tells of one that a device has not; a value of others, but then the device has taken what was asked."""


class Settable(Protocol):
    """What ``configure`` needs of an open ``cv2.VideoCapture``."""

    def set(self, propId: int, value: float) -> bool:  # noqa: N803  OpenCV's name
        """Ask for a value; False when it was refused."""
        ...

    def get(self, propId: int) -> float:  # noqa: N803  OpenCV's name
        """Tell the present value."""
        ...


def open_device(config: CameraConfig) -> LiveCapture:
    """Open a V4L2 device by index or path; size, rate and controls are asked for, the driver decides.

    Raises:
        CameraError: there is no such device, or it is in use.
    """
    # V4L2's own wait for a frame, in whole seconds; OpenCV reads it at the first frame of the process.
    os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] = str(max(1, round(config.read_timeout_s)))
    capture = cv2.VideoCapture(config.source, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise CameraError(
            f"{config.shown} cannot be opened: not plugged in, in use, or this user may not (group video)"
        )
    return LiveCapture(capture, config.shown, notes=configure(capture, config))


def configure(capture: Settable, config: CameraConfig) -> tuple[str, ...]:
    """Ask a device for all that the configuration says; returns a line for each thing that it did otherwise."""
    notes = []
    if config.pixel_format is not None:  # before the size: a driver lists sizes by format
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*config.pixel_format))
        got = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True).decode("ascii", "replace")
        if got != config.pixel_format:
            notes.append(f"pixel_format {config.pixel_format} was refused: it delivers {got}")
    wishes: dict[str, tuple[int, float | None]] = {
        "width_px": (cv2.CAP_PROP_FRAME_WIDTH, config.width_px),
        "height_px": (cv2.CAP_PROP_FRAME_HEIGHT, config.height_px),
        "rate_hz": (cv2.CAP_PROP_FPS, config.rate_hz),
    }
    wishes |= {
        f"controls.{name}": (setting, float(config.controls[name]))
        for name, setting in _PROPERTIES.items()
        if name in config.controls
    }
    done = {key: value is None or capture.set(setting, value) for key, (setting, value) in wishes.items()}
    for key, (setting, value) in wishes.items():  # when all is set: width and height are only right together
        if value is not None and abs((got_value := capture.get(setting)) - value) > 0.01 * abs(value):
            is_there = done[key] or got_value != _NO_SUCH_SETTING
            notes.append(f"{key} {value:g} was refused: {f'it is {got_value:g}' if is_there else 'it has none'}")
    return tuple(notes)
