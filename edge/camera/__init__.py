"""Cameras: sources of frames, each decoded in a process of its own, straight into memory that the daemon shares.

``Camera`` is all that the daemon needs, ``recorded_frames`` all that a replay needs. A decoding process that hangs or
crashes is replaced, and nothing else notices.
"""

from edge.camera.camera import Camera
from edge.camera.replay import recorded_frames
from edge.camera.supervision import CameraStatus, is_news, reason_for
from edge.zygote import warm_up

__all__ = ["Camera", "CameraStatus", "is_news", "reason_for", "recorded_frames", "warm_up"]
