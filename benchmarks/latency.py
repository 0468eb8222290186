"""From a decoded frame to its answer at a subscriber, less the time in the interpreter.

A MobileNetV2 1.0 224 looks at every frame of a 720p stream of GStreamer's RTSP server, 25 a second. A message says to
the millisecond when its frame was decoded; all clocks are those of this machine. ``python benchmarks/latency.py``

What the interpreter takes is measured twice: with nothing else going on and, with caches that are cold each time, in a
bare loop that reads the same stream and does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np
from device import LABELS, MODELS
from processes import running
from publishing import Broker

from edge.config import ModelConfig
from edge.lineup import load_model

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from rtsp import moving, rtsp_server  # type: ignore[import-not-found]  # shared with the tests
from watching import free_port  # type: ignore[import-not-found]  # likewise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MODEL = str(MODELS["V2 1.0 224"])
WARM_UP = 25


def main() -> None:
    """Listen for so long, and print the median and the slowest in a hundred."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    took_ms: list[float] = []

    def hear(payload: bytes) -> None:
        now_s = time.time()
        captured_at = msgspec.json.decode(payload)["captured_at"]
        took_ms.append((now_s - datetime.fromisoformat(captured_at).timestamp()) * 1000)

    with tempfile.TemporaryDirectory() as folder, rtsp_server(port := free_port(), moving(1280, 720)):
        broker = Broker(Path(folder))
        broker.start()
        tables = (
            f'[cameras.c]\nsource = "rtsp://127.0.0.1:{port}/live"\n'
            f'[models.m]\nfile = "{MODEL}"\nlabels = "{LABELS}"\nthreads = 1\n'
            '[watches.w]\ncamera = "c"\nmodel = "m"\ninterval_s = 0\nanswers = true\n'
        )
        try:
            with running(tables, broker.port, hear) as run:
                run.wait_for_answer()
                time.sleep(arguments.seconds)
        finally:
            broker.stop()
        beside_ms = in_the_interpreter_ms(frames_of(f"rtsp://127.0.0.1:{port}/live"))
    idle_ms = in_the_interpreter_ms(None for _ in range(100))
    settled = sorted(took_ms[WARM_UP:])
    median, slow = statistics.median(settled), settled[int(len(settled) * 0.99)]
    print(f"{len(settled)} answers: median {median:.1f} ms, p99 {slow:.1f} ms")
    for where, invoke_ms in (("when all is idle", idle_ms), ("beside the stream", beside_ms)):
        print(
            f"less the interpreter {where}, {invoke_ms:.1f} ms: "
            f"median {median - invoke_ms:.1f} ms, p99 {slow - invoke_ms:.1f} ms"
        )


def in_the_interpreter_ms(occasions: Iterable[object]) -> float:
    """The median time of an inference at each of these occasions, of which the first ten do not count."""
    engine = load_model(ModelConfig(file=MODEL, labels=str(LABELS), threads=1)).engine
    picture = np.zeros((*engine.input.shape,), engine.input.dtype)
    times = []
    for _ in occasions:
        began_s = time.perf_counter()
        engine.infer(picture)
        times.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(times[10:])


def frames_of(url: str, count: int = 150) -> Iterator[object]:
    """The next frames of a stream, decoded as the device does it."""
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    for _ in range(count):
        yield capture.read()[1]
    capture.release()


if __name__ == "__main__":
    main()
