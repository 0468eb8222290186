"""Pictures as a recording: one file after the other, in the order of their names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge.camera.source import Grab, Source
from edge.config.source import split_glob
from edge.errors import CameraError, PictureError
from edge.preprocess import PICTURE_SUFFIXES, read_picture

if TYPE_CHECKING:
    from edge.frame import Image

RATE_HZ = 1.0


class PictureFolder(Source):
    """Pictures; those that cannot be read are counted and passed over.

    Args:
        source: a folder, for the pictures directly in it; a pattern (``*``, ``?``, ``[…]``, ``**`` for any folders); or
            one picture.
        loop: begin again at the end.
        rate_hz: how many pictures make a second.

    Raises:
        CameraError: the folder cannot be listed, or there are no pictures.
    """

    def __init__(self, source: str, *, loop: bool = False, rate_hz: float | None = None) -> None:
        try:
            self._files = sorted(path for path in _found(source) if path.suffix.lower() in PICTURE_SUFFIXES)
        except OSError as error:
            raise CameraError(f"{source}: cannot list the pictures: {error.strerror}") from error
        if not self._files:
            raise CameraError(f"{source} holds no pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
        self._loop = loop
        self._next = 0
        self._unreadable = 0  # one after the other
        self._image: Image | None = None
        self.rate_hz = rate_hz or RATE_HZ

    def grab(self) -> Grab:
        """Read the next picture that can be read.

        It is decoded here, as only that tells whether there is a frame.
        """
        is_over = self._next >= len(self._files) and not self._loop
        if is_over or self._unreadable >= len(self._files):  # with a loop, a round without a readable picture
            return Grab.END
        path = self._files[self._next % len(self._files)]
        self.position_s = self._next / self.rate_hz
        self._next += 1
        try:
            self._image = read_picture(path)
        except PictureError:
            self.damaged += 1
            self._unreadable += 1
            return Grab.NOTHING  # thousands of them take longer than a source may be silent
        self._unreadable = 0
        return Grab.FRAME

    def retrieve(self, out: Image | None) -> Image | None:  # noqa: ARG002  decoders of pictures have no buffer to give
        """As in ``Source``."""
        return self._image


def _found(source: str) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        return list(path.iterdir())
    if path.exists():
        return [path]
    root, pattern = split_glob(source)
    return list(root.glob(pattern))
