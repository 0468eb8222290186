"""From a decoded frame to its answer at a subscriber, less the time in the interpreter.

A MobileNetV2 1.0 224 looks at every frame of a 720p stream of GStreamer's RTSP server, 25 a second. A message says to
the millisecond when its frame was decoded; all clocks are those of this machine. ``python benchmarks/latency.py``
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

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
    invoke_ms = in_the_interpreter_ms()
    settled = sorted(took_ms[WARM_UP:])
    median, slow = statistics.median(settled), settled[int(len(settled) * 0.99)]
    print(f"{len(settled)} answers: median {median:.1f} ms, p99 {slow:.1f} ms; interpreter {invoke_ms:.1f} ms")
    print(f"less the interpreter: median {median - invoke_ms:.1f} ms, p99 {slow - invoke_ms:.1f} ms")


def in_the_interpreter_ms() -> float:
    """The median time of one inference, with nothing else going on."""
    engine = load_model(ModelConfig(file=MODEL, labels=str(LABELS), threads=1)).engine
    picture = np.zeros((*engine.input.shape,), engine.input.dtype)
    times = []
    for _ in range(100):
        began_s = time.perf_counter()
        engine.infer(picture)
        times.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(times[10:])


if __name__ == "__main__":
    main()
