"""Sources of frames, opened from a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge.camera.capture import VideoFile, open_pipeline, open_stream
from edge.camera.device import open_device
from edge.camera.hot_folder import HotFolder
from edge.camera.identity import Credentials
from edge.camera.pictures import PictureFolder
from edge.camera.scene import STORY_SEED, GateScene
from edge.camera.source import Grab, Source
from edge.camera.turned import Turned
from edge.config.source import Kind

if TYPE_CHECKING:
    from edge.config import CameraConfig
    from edge.frame import Image

SCENE_RATE_HZ = 10.0
SCENE_SIZE_PX = (640, 360)


class SceneSource(Source):
    """The simulated scene as a source, rendered when a frame is retrieved: a skipped one costs nothing."""

    def __init__(self, scene: GateScene) -> None:
        self._scene = scene
        self._number = -1
        self.rate_hz = scene.rate_hz

    def grab(self) -> Grab:
        """As in ``Source``; the story never ends."""
        self._number += 1
        self.position_s = self._number / self.rate_hz
        return Grab.FRAME

    def retrieve(self, out: Image | None) -> Image | None:
        """As in ``Source``."""
        return self._scene.frame(self._number, out=out)


def open_source(config: CameraConfig) -> Source:
    """Open what the configuration names, turned as it says.

    Raises:
        CameraError: it is not there, or OpenCV cannot read it; the message names it without its credentials.
    """
    source = _opened(config)
    rotate_deg: int = config.rotate_deg
    if isinstance(source, VideoFile):
        rotate_deg = (rotate_deg + source.rotate_deg) % 360
    return Turned(source, rotate_deg, mirror=config.mirror) if rotate_deg or config.mirror else source


def _opened(config: CameraConfig) -> Source:
    match config.kind:
        case Kind.DEVICE:
            return open_device(config)
        case Kind.STREAM if str(config.source).startswith("http"):
            from edge.camera.web import open_http  # has HTTP and TLS, which other cameras do without

            return open_http(config)
        case Kind.STREAM:
            return open_stream(config, Credentials(config).url)
        case Kind.PIPELINE:
            return open_pipeline(config)
    return _recording(config)


def _recording(config: CameraConfig) -> Source:
    match config.kind:
        case Kind.PICTURES if config.hot is not None:
            return HotFolder(Path(str(config.source)), config.hot)
        case Kind.PICTURES:
            return PictureFolder(str(config.source), loop=config.loop, rate_hz=config.rate_hz)
        case Kind.SCENE:
            width_px, height_px = config.width_px or SCENE_SIZE_PX[0], config.height_px or SCENE_SIZE_PX[1]
            scene = GateScene(STORY_SEED, config.rate_hz or SCENE_RATE_HZ, width_px=width_px, height_px=height_px)
            return SceneSource(scene)
    return VideoFile(str(config.source), loop=config.loop)
