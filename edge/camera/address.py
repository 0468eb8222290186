"""What kind of source a configuration names, and how it may be named in a message."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import CameraError

if TYPE_CHECKING:
    from edge.config import CameraConfig

SCENES = ("gate",)


class Kind(Enum):
    """The kinds of source."""

    DEVICE = "a V4L2 device"
    STREAM = "a network stream"
    VIDEO = "a video file"
    FOLDER = "a picture folder"
    SCENE = "a simulated scene"


def kind_of(source: str | int) -> Kind:
    """Tell what a source is: ``0``, ``/dev/video0``, ``rtsp://…``, ``scene:gate``, an existing folder, else a video.

    Raises:
        CameraError: a scene that does not exist, or an address without the slashes of a URL.
    """
    if isinstance(source, int) or source.startswith("/dev/"):
        return Kind.DEVICE
    scheme, colon, rest = source.partition(":")
    if colon and re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        if scheme == "scene" and rest in SCENES:
            return Kind.SCENE
        if scheme == "scene":
            raise CameraError(f"there is no scene {rest!r}; known are: {', '.join(SCENES)}")
        if rest.startswith("//"):
            return Kind.STREAM
        raise CameraError(f"{redacted(source)} is no camera: a URL begins with {scheme}://, a path with / or ./")
    try:
        return Kind.FOLDER if Path(source).is_dir() else Kind.VIDEO
    except OSError:  # not allowed to look, or no file system there: opening it will say so
        return Kind.VIDEO


def is_recording(config: CameraConfig) -> bool:
    """True when every frame counts and waits to be asked for: a video, folder or scene at pace ``fast``.

    At pace ``realtime`` these behave like a live camera: frames come when they are due, and the newest wins.
    """
    return kind_of(config.source) not in {Kind.DEVICE, Kind.STREAM} and config.pace == "fast"


def is_replaceable(config: CameraConfig) -> bool:
    """True when a source that cannot be opened may be there later: a device or stream. A wrong file stays wrong."""
    return kind_of(config.source) in {Kind.DEVICE, Kind.STREAM}


def redacted(source: str | int) -> str:
    """The source without what may be secret: a URL's user, password and query.

    A password that was not percent-encoded may hold ``/`` and ``@``: all up to the last ``@`` goes. With a ``?`` before
    it nobody can tell where the password ends, and all goes.
    """
    if isinstance(source, int):
        return f"camera {source}"
    scheme, slashes, rest = source.partition("://")
    if not slashes:
        return source
    address, question, query = rest.partition("?")
    if "@" in query:
        return f"{scheme}://***"
    _, at, where = address.rpartition("@")
    return f"{scheme}://{'***@' if at else ''}{where}{'?***' if question else ''}"
