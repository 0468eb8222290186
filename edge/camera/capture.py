"""Sources that OpenCV reads: network streams, pipelines and video files; devices are in ``device.py``.

OpenCV's ``isOpened()`` stays True when a camera has gone, and a capture that lost its camera never finds it again. So a
source is judged by its frames alone, and one that stops is given up: the process ends and a new one opens it anew.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge.camera.overheard import overhearing
from edge.camera.source import Grab, Source
from edge.errors import CameraError, UnsupportedSourceError

if TYPE_CHECKING:
    import numpy.typing as npt

    from edge.config import CameraConfig
    from edge.frame import Image

_NOMINAL_RATES_HZ = (0.1, 1000.0)
"""FFmpeg calls 90 kHz, or nothing at all, the rate of a stream that does not tell: only these are believed."""

_ONE_THREAD = [cv2.CAP_PROP_N_THREADS, 1] if hasattr(cv2, "CAP_PROP_N_THREADS") else []  # Debian's 4.6 has none
"""Each further thread of FFmpeg holds back a frame and takes processor time from the model; small videos get slower."""

_WITH_TLS = ("https:", "rtsps:", "rtmps:")

_QUICK = "|analyzeduration;0|probesize;32768"
"""An RTSP server says what it sends; FFmpeg, left alone, watches it for another one to two seconds. Where a server does
not say, or too late, opening fails at once, and is tried again without."""


class LiveCapture(Source):
    """A device or a network stream that is open: frames come by themselves."""

    live = True
    repeats = False

    def __init__(self, capture: cv2.VideoCapture, what: str, *, notes: tuple[str, ...] = ()) -> None:
        self._capture = capture
        self._what = what
        self.notes = notes
        self.rate_hz = _rate_of(capture)

    def grab(self) -> Grab:
        """As in ``Source``: waits for the next frame, at most as long as the read timeout."""
        if not self._capture.grab():
            raise CameraError(f"{self._what} stopped delivering frames")
        return Grab.FRAME

    def retrieve(self, out: Image | None) -> Image | None:
        """As in ``Source``."""
        return _retrieved(self._capture, out)

    def close(self) -> None:
        """As in ``Source``."""
        self._capture.release()


class VideoFile(Source):
    """A video file, from its beginning and, with ``loop``, over and over; positions only ever grow.

    Attributes:
        rotate_deg: how the file says that its frames are to be turned, in whole quarters; it is left to the caller.

    Raises:
        CameraError: it is missing, may not be read, or is no video that OpenCV knows.
    """

    def __init__(self, path: str, *, loop: bool = False) -> None:
        self._path = path
        self._loop = loop
        self._capture = _open_video(path)
        self.rate_hz = _rate_of(self._capture)
        self.rotate_deg = 90 * round(self._capture.get(cv2.CAP_PROP_ORIENTATION_META) / 90) % 360
        self._pass_began_s = 0.0
        self._frames_in_pass = 0

    def grab(self) -> Grab:
        """As in ``Source``."""
        if not self._capture.grab():
            if not self._loop or not self._frames_in_pass:
                return Grab.END
            self._rewind()
            if not self._capture.grab():
                return Grab.END
        position_s = self._pass_began_s + self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._frames_in_pass and position_s <= self.position_s:
            position_s = self.position_s + self._period_s  # the file's timestamps are broken; its rate may be right
        self.position_s = position_s
        self._frames_in_pass += 1
        return Grab.FRAME

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


def open_stream(config: CameraConfig, url: str) -> LiveCapture:
    """Open an RTSP or other stream that FFmpeg knows.

    Args:
        config: how to open it.
        url: where; with credentials, if there are any, so it appears in no message.

    Raises:
        CameraError: nothing answers there in time, or what answers is no video.
    """
    began_s = time.monotonic()
    with overhearing() as overheard:
        capture = _open_url(config, url, _QUICK, config.open_timeout_s)
        left_s = config.open_timeout_s - (time.monotonic() - began_s)
        if not capture.isOpened() and overheard() is None and left_s > config.open_timeout_s / 2:
            capture = _open_url(config, url, "", left_s)
        reason = overheard()
    if not capture.isOpened():
        reason = reason or f"no answer within {config.open_timeout_s:g} s, refused, or no video"
        raise CameraError(f"{config.shown} cannot be opened: {reason}")
    return LiveCapture(capture, config.shown)


def _open_url(config: CameraConfig, url: str, probing: str, timeout_s: float) -> cv2.VideoCapture:
    # OpenCV takes FFmpeg's own options only from the environment; this process has no other stream.
    options = []
    if url.startswith("rtsp"):  # TCP loses no packets, and without nobuffer the first frame is a second old
        options.append(f"rtsp_transport;{config.transport}|fflags;nobuffer{probing}")
    if url.startswith(_WITH_TLS) and config.verify_tls:  # FFmpeg, left alone, shows the password to whoever answers
        options.append(f"tls_verify;1|ca_file;{_authorities()}")
    if options:
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "|".join(options)
    # These work only as parameters of opening.
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(timeout_s * 1000)]
    timeouts += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(config.read_timeout_s * 1000)]
    return cv2.VideoCapture(url, cv2.CAP_FFMPEG, [*timeouts, *_ONE_THREAD])


def _authorities() -> str:
    """The file with the authorities that this system trusts."""
    import ssl  # other cameras do without

    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.openssl_cafile


def open_pipeline(config: CameraConfig) -> LiveCapture:
    """Open a GStreamer pipeline, ``gst:… ! appsink``.

    Raises:
        UnsupportedSourceError: this OpenCV was built without GStreamer.
        CameraError: the pipeline cannot be built or started.
    """
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise UnsupportedSourceError(
            f"{config.shown}: this OpenCV has no GStreamer (its wheels never do): use rtsp://, http:// or a device, "
            "or an OpenCV that was built with it"
        )
    capture = cv2.VideoCapture(str(config.source).removeprefix("gst:").strip(), cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise CameraError(f"{config.shown} cannot be started: try it with gst-launch-1.0; it must end in appsink")
    return LiveCapture(capture, config.shown)


def _open_video(path: str) -> cv2.VideoCapture:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise CameraError(f"{path}: cannot read the video: {error.strerror}") from error
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, _ONE_THREAD)
    if not capture.isOpened():
        raise CameraError(f"{path} is no video that OpenCV can read")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # OpenCV would turn each frame in a copy of its own
    return capture


def _retrieved(capture: cv2.VideoCapture, out: Image | None) -> Image | None:
    """Convert the grabbed frame, into ``out`` where that has its size; otherwise into an array that OpenCV makes."""
    decoded, image = capture.retrieve(out) if out is not None else capture.retrieve()
    return as_bgr(np.asarray(image)) if decoded else None


def as_bgr(image: npt.NDArray[Any]) -> Image:
    """Make ``(H, W, 3) uint8 BGR`` of what a camera gave: grey, ``(H, W)`` or ``(H, W, 1)``, and 16-bit ones included.

    Of 16 bits the upper eight count.
    """
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:  # noqa: PLR2004  a grey camera
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    return image


def _rate_of(capture: cv2.VideoCapture) -> float:
    lowest, highest = _NOMINAL_RATES_HZ
    rate_hz = capture.get(cv2.CAP_PROP_FPS)
    return rate_hz if lowest <= rate_hz <= highest else 0.0
