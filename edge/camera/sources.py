"""Sources of frames, opened from a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from edge.camera.address import Kind, kind_of
from edge.camera.capture import LiveCapture, VideoFile, open_device, open_stream
from edge.camera.pictures import PictureFolder
from edge.camera.scene import STORY_SEED, GateScene

if TYPE_CHECKING:
    from edge.config import CameraConfig
    from edge.frame import Image

__all__ = ["LiveCapture", "PictureFolder", "SceneSource", "Source", "VideoFile", "open_source"]

SCENE_RATE_HZ = 10.0
SCENE_SIZE_PX = (640, 360)


class Source(Protocol):
    """Something that frames are taken from, one after the other."""

    @property
    def live(self) -> bool:
        """Frames come by themselves, whether or not anybody takes them."""
        ...

    @property
    def rate_hz(self) -> float:
        """The nominal rate, 0 when unknown."""
        ...

    @property
    def position_s(self) -> float:
        """Where the grabbed frame lies in a recording; 0 for a live source."""
        ...

    @property
    def damaged(self) -> int:
        """How many frames were passed over because they could not be decoded."""
        ...

    def grab(self) -> bool:
        """Advance to the next frame without converting it; False at the end of a recording.

        Raises:
            CameraError: a live source has stopped delivering.
        """
        ...

    def retrieve(self, out: Image | None) -> Image | None:
        """Give the grabbed frame, ``(H, W, 3) uint8 BGR``: in ``out`` where that has the right size and the source can.

        None when the frame cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Let go of the device, connection or file."""
        ...


class SceneSource:
    """The simulated scene as a source, rendered when a frame is retrieved: a skipped one costs nothing."""

    live = False
    damaged = 0

    def __init__(self, scene: GateScene) -> None:
        self._scene = scene
        self._number = -1
        self.rate_hz = scene.rate_hz

    @property
    def position_s(self) -> float:
        """Seconds since the story's beginning."""
        return max(self._number, 0) / self.rate_hz

    def grab(self) -> bool:
        """As in ``Source``; the story never ends."""
        self._number += 1
        return True

    def retrieve(self, out: Image | None) -> Image | None:
        """As in ``Source``."""
        return self._scene.frame(self._number, out=out)

    def close(self) -> None:
        """Nothing to let go of."""


def open_source(config: CameraConfig) -> Source:
    """Open what the configuration names.

    Raises:
        CameraError: it is not there, or OpenCV cannot read it; the message names it without its credentials.
    """
    source = config.source
    match kind_of(source):
        case Kind.DEVICE:
            return open_device(source, width_px=config.width_px, height_px=config.height_px, rate_hz=config.rate_hz)
        case Kind.STREAM:
            return open_stream(str(source), open_timeout_s=config.open_timeout_s, read_timeout_s=config.read_timeout_s)
        case Kind.VIDEO:
            return VideoFile(str(source), loop=config.loop)
        case Kind.FOLDER:
            return PictureFolder(str(source), loop=config.loop, rate_hz=config.rate_hz)
        case Kind.SCENE:
            width_px, height_px = config.width_px or SCENE_SIZE_PX[0], config.height_px or SCENE_SIZE_PX[1]
            scene = GateScene(STORY_SEED, config.rate_hz or SCENE_RATE_HZ, width_px=width_px, height_px=height_px)
            return SceneSource(scene)
