"""A folder of pictures as a recording: one file after the other, in the order of their names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import CameraError, PictureError
from edge.preprocess import PICTURE_SUFFIXES, read_picture

if TYPE_CHECKING:
    from edge.frame import Image

RATE_HZ = 1.0


class PictureFolder:
    """The pictures directly in a folder; those that cannot be read are counted and passed over.

    Raises:
        CameraError: the folder cannot be listed, or holds no pictures.
    """

    live = False

    def __init__(self, folder: str, *, loop: bool = False, rate_hz: float | None = None) -> None:
        try:
            self._files = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
        except OSError as error:
            raise CameraError(f"{folder}: cannot list the pictures: {error.strerror}") from error
        if not self._files:
            raise CameraError(f"{folder} holds no pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
        self._loop = loop
        self._next = 0
        self._image: Image | None = None
        self.damaged = 0
        self.rate_hz = rate_hz or RATE_HZ

    @property
    def position_s(self) -> float:
        """Files passed so far over the rate."""
        return max(self._next - 1, 0) / self.rate_hz

    def grab(self) -> bool:
        """Read the next picture that can be read; False after the last.

        It is decoded here, as only that tells whether there is a frame.
        """
        for _ in self._files:  # with a loop, at most one round without a readable picture
            if self._next >= len(self._files) and not self._loop:
                return False
            path = self._files[self._next % len(self._files)]
            self._next += 1
            try:
                self._image = read_picture(path)
            except PictureError:
                self.damaged += 1
                continue
            return True
        return False

    def retrieve(self, out: Image | None) -> Image | None:  # noqa: ARG002  decoders of pictures have no buffer to give
        """As in ``Source``."""
        return self._image

    def close(self) -> None:
        """Nothing to let go of."""
