"""Data larger than memory: the whole of ``fit`` on many pictures, and the most memory that each of its steps took.

    python benchmarks/scale.py [--pictures 50000] [--size 96] [--weights none|FILE|FOLDER] [--folder EMPTY]
                               [--set NAME=VALUE ...]

The pictures are simulated (two kinds of shapes on noise, 96 px JPEG) and made first, by another process whose memory
does not count. Fine-tuning runs for one epoch, unless told otherwise: every epoch takes as much memory.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console

from trainer.cli.fit import setting
from trainer.fit import fit
from trainer.fit_report import report_of
from trainer.parameters import with_parameters
from trainer.progress import Step, Steps
from trainer.quiet import quiet_libraries
from trainer.recipe import Recipe
from trainer.report import write_report

if TYPE_CHECKING:
    from collections.abc import Iterator

SIDE_PX = 96
JPEG_QUALITY = 80
LABELS = ("disc", "square")


def main() -> int:
    """Print one JSON object with seconds and peak memory of each step, and the accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--size", type=int, default=SIDE_PX, help="side of the input in pixels")
    parser.add_argument("--weights", default="none", help="as in a recipe; none trains from nothing, without features")
    parser.add_argument("--folder", type=Path, help="where to make the pictures (default: a temporary folder)")
    parser.add_argument("--set", action="append", default=[], help="a parameter of the recipe: NAME=VALUE")
    arguments = parser.parse_args()
    settings = {"backbone.size_px": arguments.size, "backbone.weights": arguments.weights, "finetune.epochs": 1}
    recipe = with_parameters(Recipe(), settings | dict(map(setting, arguments.set)))
    with tempfile.TemporaryDirectory(prefix="sightpost-scale-", dir=arguments.folder) as folder:
        maker = multiprocessing.get_context("spawn").Process(target=make, args=(Path(folder), arguments.pictures))
        maker.start()
        maker.join()
        with quiet_libraries() as terminal:
            steps = MeasuredSteps(Console(file=terminal, highlight=False))
            out = Path(folder, "shapes.tflite")
            fitted = fit(Path(folder, "pictures"), out, recipe, name="shapes", steps=steps, accept_drift=True)
            with steps.step("make the report"):
                write_report(out.with_suffix(".html"), report_of(fitted, recipe, made_at="now"))
    accuracy = round(fitted.result.int8_evaluation.accuracy, 4)
    print(json.dumps({"pictures": arguments.pictures, "steps": steps.measured, "accuracy": accuracy}))
    return 0


class MeasuredSteps(Steps):
    """Steps that remember how long each took, and the most memory that the process had had by its end."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.measured: dict[str, dict[str, float]] = {}

    @contextlib.contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[Step]:
        """Run one step and look."""
        started = time.perf_counter()
        with super().step(name, total) as step:
            yield step
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            self.measured[name] = {"seconds": round(time.perf_counter() - started, 1), "peak_mb": peak_mb}
            step.outcome = f"{step.outcome}; peak {peak_mb} MB"


def make(folder: Path, count: int) -> None:
    """Draw the pictures: ``folder/pictures/LABEL/NNNNNN.jpg``."""
    rng = np.random.default_rng(1)
    for label in LABELS:
        (folder / "pictures" / label).mkdir(parents=True)
    for number in range(count):
        label = LABELS[number % 2]
        noise = rng.integers(40, 120, (SIDE_PX // 8, SIDE_PX // 8, 3), dtype=np.uint8)
        image = cv2.resize(noise, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
        x, y, half = (int(value) for value in rng.integers((30, 30, 12), (66, 66, 24)))
        color = tuple(int(value) for value in rng.integers(130, 255, 3))
        if label == "disc":
            cv2.circle(image, (x, y), half, color, -1)
        else:
            cv2.rectangle(image, (x - half, y - half), (x + half, y + half), color, -1)
        path = folder / "pictures" / label / f"{number:06d}.jpg"
        assert cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


if __name__ == "__main__":
    sys.exit(main())
