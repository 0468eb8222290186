"""Data larger than memory: scan, features once and head training on many pictures, and the most memory that it took.

    python benchmarks/scale.py [--pictures 50000] [--size 96] [--views 0] [--weights none|FILE|FOLDER] [--folder EMPTY]

The pictures are simulated (two kinds of shapes on noise, 96 px JPEG) and made first, by another process whose memory
does not count.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from edge.model_card import InputSpec
from trainer.augment import Framing
from trainer.data import scan
from trainer.features import cached_features
from trainer.head_training import score, train_head
from trainer.recipe import AugmentRecipe, BackboneRecipe, Recipe, TrainRecipe
from trainer.split import split
from trainer.views import Pictures

SIDE_PX = 96
JPEG_QUALITY = 80
LABELS = ("disc", "square")


def main() -> int:
    """Print one JSON object with seconds, peak memory and accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--views", type=int, default=0, help="changed copies of each training picture")
    parser.add_argument("--size", type=int, default=SIDE_PX, help="side of the input in pixels")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument(
        "--weights", default="none", help="as in a recipe; none is a frozen backbone that knows nothing"
    )
    parser.add_argument("--folder", type=Path, help="where to make the pictures (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sightpost-scale-", dir=arguments.folder) as folder:
        maker = multiprocessing.get_context("spawn").Process(target=make, args=(Path(folder), arguments.pictures))
        maker.start()
        maker.join()
        recipe = Recipe(
            backbone=BackboneRecipe(size_px=arguments.size, weights=arguments.weights),
            augment=AugmentRecipe(views=arguments.views),
            train=TrainRecipe(effort="quick", epochs=arguments.epochs, batch_size=256),
        )
        result = run(Path(folder, "pictures"), Path(folder, "features"), recipe)
    print(json.dumps({"pictures": arguments.pictures, "views": arguments.views, **result}))
    return 0


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


def run(root: Path, cache: Path, recipe: Recipe) -> dict[str, object]:
    """Scan, extract, train; seconds of each, the peak of this process's memory after each, and the accuracy."""
    import keras

    from trainer.network import build_network

    began = {"start": time.perf_counter()}
    memory_mb = {"libraries": _peak_mb()}
    data = scan(root)
    parts = split(data, recipe.split, np.random.default_rng(recipe.seed))
    began["scan"], memory_mb["scan"] = time.perf_counter(), _peak_mb()
    keras.utils.set_random_seed(recipe.seed)
    side = recipe.backbone.size_px
    spec = InputSpec(height_px=side, width_px=side, color="rgb", resize="stretch", kernel="halving", scaling="raw")
    network = build_network(recipe, len(LABELS))
    augment = Framing(0.0).settle(recipe.augment)
    features = cached_features(network, data, parts, Pictures(data, spec), recipe, augment, folder=cache)
    began["features"], memory_mb["features"] = time.perf_counter(), _peak_mb()
    train_head(network, features, recipe.train, seed=recipe.seed)
    began["head"], memory_mb["head"] = time.perf_counter(), _peak_mb()
    return {
        "seconds": {b: round(began[b] - began[a], 1) for a, b in itertools.pairwise(began)},
        "peak_mb": memory_mb,
        "features_mb": round(sum(file.stat().st_size for file in cache.iterdir()) / 1e6),
        "accuracy": round(score(network, features.validation).accuracy, 4),
    }


def _peak_mb() -> int:
    """The most resident memory that this process has had so far (``VmHWM``)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    sys.exit(main())
