"""What one answer costs: the bare interpreter against the whole way from frame to answer, interleaved in one run.

Usage: python benchmarks/picture.py MODEL.tflite PICTURE
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from edge.model import Model
from edge.preprocess import prepare, read_picture

ROUNDS, WARM_UP = 400, 20


def main() -> int:
    """Print the figures, and their ratio, which a noisy machine disturbs less."""
    model, image = Model.load(Path(sys.argv[1])), read_picture(Path(sys.argv[2]))
    prepared = prepare(image, model.spec)
    bare_ms, whole_ms = [], []
    for _ in range(ROUNDS + WARM_UP):
        began = time.perf_counter()
        model.engine.infer(prepared)
        middle = time.perf_counter()
        model.predict(image)
        bare_ms.append((middle - began) * 1000)
        whole_ms.append((time.perf_counter() - middle) * 1000)
    bare, whole = (statistics.median(times[WARM_UP:]) for times in (bare_ms, whole_ms))
    height_px, width_px = image.shape[:2]
    print(f"{model.name} on {model.engine.runtime}, {width_px}x{height_px} frame, medians of {ROUNDS}:")
    print(f"interpreter alone {bare:.2f} ms   frame to answer {whole:.2f} ms   ratio {whole / bare:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
