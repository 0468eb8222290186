"""Sources that OpenCV reads: V4L2 devices, network streams and video files.

OpenCV's ``isOpened()`` stays True when a camera has gone, and a capture that lost its camera never finds it again. So a
source is judged by its frames alone, and one that stops is given up: the process ends and a new one opens it anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.camera.address import redacted
from edge.errors import CameraError

if TYPE_CHECKING:
    from edge.frame import Image

_NOMINAL_RATES_HZ = (0.1, 1000.0)
"""FFmpeg calls 90 kHz, or nothing at all, the rate of a stream that does not tell: only these are believed."""

_ONE_THREAD = [cv2.CAP_PROP_N_THREADS, 1]
"""Each further thread of FFmpeg holds back a frame and takes processor time from the model; small videos get slower."""


class LiveCapture:
    """A device or a network stream that is open: frames come by themselves."""

    live = True
    position_s = 0.0
    damaged = 0

    def __init__(self, capture: cv2.VideoCapture, what: str) -> None:
        self._capture = capture
        self._what = what
        self.rate_hz = _rate_of(capture)

    def grab(self) -> bool:
        """As in ``Source``: waits for the next frame, at most as long as the read timeout."""
        if not self._capture.grab():
            raise CameraError(f"{self._what} stopped delivering frames")
        return True

    def retrieve(self, out: Image | None) -> Image | None:
        """As in ``Source``."""
        return _retrieved(self._capture, out)

    def close(self) -> None:
        """As in ``Source``."""
        self._capture.release()


class VideoFile:
    """A video file, from its beginning and, with ``loop``, over and over; positions only ever grow.

    Raises:
        CameraError: it is missing, may not be read, or is no video that OpenCV knows.
    """

    live = False
    damaged = 0

    def __init__(self, path: str, *, loop: bool = False) -> None:
        self._path = path
        self._loop = loop
        self._capture = _open_video(path)
        self.rate_hz = _rate_of(self._capture)
        self.position_s = 0.0
        self._pass_began_s = 0.0
        self._frames_in_pass = 0

    def grab(self) -> bool:
        """As in ``Source``."""
        if not self._capture.grab():
            if not self._loop or not self._frames_in_pass:
                return False
            self._rewind()
            if not self._capture.grab():
                return False
        position_s = self._pass_began_s + self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._frames_in_pass and position_s <= self.position_s:
            position_s = self.position_s + self._period_s  # the file's timestamps are broken; its rate may be right
        self.position_s = position_s
        self._frames_in_pass += 1
        return True

    def retrieve(self, out: Image | None) -> Image | None:
        """As in ``Source``."""
        return _retrieved(self._capture, out)

    def close(self) -> None:
        """As in ``Source``."""
        self._capture.release()

    @property
    def _period_s(self) -> float:
        return 1 / (self.rate_hz or 25.0)

    def _rewind(self) -> None:
        self._capture.release()  # opening anew works for every container; seeking does not
        self._capture = _open_video(self._path)
        self._pass_began_s = self.position_s + self._period_s
        self._frames_in_pass = 0


def open_device(
    device: str | int, *, width_px: int | None = None, height_px: int | None = None, rate_hz: float | None = None
) -> LiveCapture:
    """Open a V4L2 device by index or path; size and rate are asked for, the driver decides.

    Raises:
        CameraError: there is no such device, or it is in use.
    """
    what = redacted(device)
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise CameraError(f"{what} cannot be opened: not plugged in, in use, or this user may not (group video)")
    wishes = ((cv2.CAP_PROP_FRAME_WIDTH, width_px), (cv2.CAP_PROP_FRAME_HEIGHT, height_px), (cv2.CAP_PROP_FPS, rate_hz))
    for setting, value in wishes:
        if value is not None:
            capture.set(setting, value)
    return LiveCapture(capture, what)


def open_stream(url: str, *, open_timeout_s: float, read_timeout_s: float) -> LiveCapture:
    """Open an RTSP, HTTP or other stream that FFmpeg knows.

    Raises:
        CameraError: nothing answers there in time, or what answers is no video.
    """
    if url.startswith("rtsp"):
        # OpenCV takes FFmpeg's own options only from the environment; this process has no other stream. TCP loses no
        # packets, and without nobuffer the first frame is a second old.
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp|fflags;nobuffer"
    # These work only as parameters of opening.
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(open_timeout_s * 1000)]
    timeouts += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(read_timeout_s * 1000)]
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, [*timeouts, *_ONE_THREAD])
    if not capture.isOpened():
        raise CameraError(
            f"{redacted(url)} cannot be opened: no answer within {open_timeout_s:g} s, refused, or no video"
        )
    return LiveCapture(capture, redacted(url))


def _open_video(path: str) -> cv2.VideoCapture:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise CameraError(f"{path}: cannot read the video: {error.strerror}") from error
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, _ONE_THREAD)
    if not capture.isOpened():
        raise CameraError(f"{path} is no video that OpenCV can read")
    return capture


def _retrieved(capture: cv2.VideoCapture, out: Image | None) -> Image | None:
    """Convert the grabbed frame, into ``out`` where that has its size; otherwise into an array that OpenCV makes."""
    decoded, image = capture.retrieve(out) if out is not None else capture.retrieve()
    if not decoded:
        return None
    if image.ndim == 2:  # noqa: PLR2004  a grey camera
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return np.asarray(image, dtype=np.uint8)


def _rate_of(capture: cv2.VideoCapture) -> float:
    lowest, highest = _NOMINAL_RATES_HZ
    rate_hz = capture.get(cv2.CAP_PROP_FPS)
    return rate_hz if lowest <= rate_hz <= highest else 0.0
