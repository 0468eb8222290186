"""What every decoding process needs, loaded once by the process that they are forked from, so that they share it.

Only that process imports this module: it sets environment variables that OpenCV and OpenBLAS read when they are loaded.
"""

import gc
import importlib
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process that forks must have one thread; decoding does no linear algebra
os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # FFmpeg: quiet; what matters is reported once, by us
os.environ["OPENCV_LOG_LEVEL"] = "SILENT"

gc.disable()  # loading makes no garbage to search for
# edge.preprocess comes first: it sets a limit that OpenCV reads when it is loaded.
for name in ("edge.preprocess", "edge.camera.sources", "edge.camera.sight", "edge.camera.worker"):
    importlib.import_module(name)

gc.enable()
gc.freeze()  # the collector of a forked process then leaves these objects, and the pages they share, alone
