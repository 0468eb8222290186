"""What kind of source a camera's ``source`` names, and how it may be named in a message."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from edge import PICTURE_SUFFIXES
from edge.errors import ConfigError
from edge.strict import nearest

SCENES = ("gate",)
STREAM_SCHEMES = ("http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp")
_HTTP = ("http", "https")
_WITH_HOST = (*_HTTP, "rtsp", "rtsps")
"""The others may wait for whoever sends."""
_ASCII = re.compile(r"[!-~]*")
_SCHEMES = (*STREAM_SCHEMES, "gst", "scene")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_WILDCARDS = re.compile(r"[*?\[]")


class Kind(Enum):
    """The kinds of source."""

    DEVICE = "a V4L2 device"
    STREAM = "a network stream"
    PIPELINE = "a GStreamer pipeline"
    VIDEO = "a video file"
    PICTURES = "pictures"
    SCENE = "a simulated scene"

    @property
    def is_camera(self) -> bool:
        """Frames come by themselves; it may be away for a while, and come back."""
        return self in {Kind.DEVICE, Kind.STREAM, Kind.PIPELINE}


def kind_of(source: str | int) -> Kind:
    """Tell what a source is.

    ``0`` and ``/dev/video0`` are devices, ``rtsp://…`` a stream, ``gst:…`` a pipeline; an existing folder, a path with
    ``*``, ``?`` or ``[``, or a single picture file are pictures; any other path is a video.

    Raises:
        ConfigError: a scene that does not exist, or an address that cannot be meant.
    """
    if isinstance(source, int) or (source.startswith("/dev/") and not source.startswith("/dev/shm/")):  # noqa: S108  its own
        return Kind.DEVICE
    if address := _SCHEME.fullmatch(source):
        return _kind_of_address(address[1], address[2])
    path = Path(source)
    try:
        if path.is_dir() or (_WILDCARDS.search(source) and not path.exists()):
            return Kind.PICTURES
    except OSError:  # not allowed to look, or no file system there: opening it will say so
        return Kind.VIDEO
    return Kind.PICTURES if path.suffix.lower() in PICTURE_SUFFIXES else Kind.VIDEO


def is_path(source: str | int) -> bool:
    """True when a source lies in the file system, and may be relative to the configuration's folder."""
    return isinstance(source, str) and not _SCHEME.fullmatch(source)


def split_glob(pattern: str) -> tuple[Path, str]:
    """Split a path with wildcards into the folder before the first of them, and the pattern from there.

    A folder that is there is taken by its name, whatever its name looks like.
    """
    *folders, name = Path(pattern).parts
    root = Path()
    while folders and (not _WILDCARDS.search(folders[0]) or (root / folders[0]).is_dir()):
        root /= folders.pop(0)
    return root, str(Path(*folders, name))


def redacted(source: str | int) -> str:
    """The source without what may be secret: a URL's user, password and query, a pipeline's settings.

    A password that was not percent-encoded may hold ``/`` and ``@``: all up to the last ``@`` goes. With a ``?`` before
    it nobody can tell where the password ends, and all goes.
    """
    if isinstance(source, int):
        return f"camera {source}"
    if source.startswith("gst:"):
        return f"gst:{' '.join(source.removeprefix('gst:').split()[:1])} …"
    scheme, slashes, rest = source.partition("://")
    if not slashes:
        return source
    address, question, query = rest.partition("?")
    if "@" in query:
        return f"{scheme}://***"
    _, at, where = address.rpartition("@")
    return f"{scheme}://{'***@' if at else ''}{where}{'?***' if question else ''}"


def _kind_of_address(scheme: str, rest: str) -> Kind:
    shown = redacted(f"{scheme}:{rest}")
    if scheme not in _SCHEMES:
        if scheme.lower() in _SCHEMES:
            raise ConfigError(f"{shown}: write {scheme.lower()} in small letters")
        raise ConfigError(f"{shown}: {scheme} is no kind of source; {nearest(scheme, list(_SCHEMES))}")
    if scheme == "scene":
        if rest not in SCENES:
            raise ConfigError(f"there is no scene {rest!r}; known are: {', '.join(SCENES)}")
        return Kind.SCENE
    if scheme == "gst":
        return Kind.PIPELINE
    if not re.match(r"//[^/]", rest):
        raise ConfigError(f"{shown} is no camera: a URL begins with {scheme}:// and a host, a path with / or ./")
    _check_address(f"{scheme}:{rest}", shown)
    return Kind.STREAM


def _check_address(url: str, shown: str) -> None:
    """What can never be an address is told now, and not for ever as a camera that is away."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  it is looked at now
    except ValueError:
        raise ConfigError(  # the error's own words may hold the password
            f"{shown}: no address: a port is a number up to 65535, an IPv6 address stands in [brackets], and signs in "
            "a user name or password that are neither letters of ASCII nor digits are percent-encoded"
        ) from None
    if parts.scheme in _WITH_HOST and not parts.hostname:
        raise ConfigError(f"{shown}: there is no host in it")
    if parts.scheme in _HTTP and not _ASCII.fullmatch(parts.path + parts.query):
        raise ConfigError(f"{shown}: spaces and letters beyond ASCII are percent-encoded in an address")
