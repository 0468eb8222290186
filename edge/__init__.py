"""Sightpost on the device: camera, watch, model, decision, outbox, MQTT. It knows nothing of TensorFlow."""

import os

__version__ = "0.1.0"

PICTURE_SUFFIXES = frozenset(
    {".bmp", ".jpeg", ".jpg", ".jp2", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
MAX_PICTURE_PIXELS = 100_000_000
# A 2.6 MB picture can decode to 5 GB. OpenCV reads this limit once, when it is loaded, so it must be set before that.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PICTURE_PIXELS))
# It warns of each damaged picture in words of its own; we say it once, with the file's name.
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
