"""Data larger than memory: scan, features once and head training on many pictures, and the most memory that it took.

Usage: python benchmarks/scale.py [--pictures 50000] [--views 0] [--weights none|FILE|FOLDER] [--folder EMPTY]

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
from msgspec.structs import replace

from edge.model_card import InputSpec
from trainer.data import scan, split
from trainer.feature_store import FeatureStore
from trainer.features import BATCH, extract_batches, views
from trainer.recipe import BackboneRecipe, HeadRecipe, Recipe

SIDE_PX = 96
JPEG_QUALITY = 80
LABELS = ("disc", "square")


def main() -> int:
    """Print one JSON object with seconds, peak memory and accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--views", type=int, default=0, help="changed copies of each training picture")
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
            backbone=BackboneRecipe(size_px=SIDE_PX, weights=arguments.weights),
            head=HeadRecipe(epochs=arguments.epochs, batch_size=256),
        )
        recipe = replace(recipe, augment=replace(recipe.augment, views=arguments.views))
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
    """Scan, extract, train, judge; seconds of each, the peak of this process's memory and the accuracy."""
    import keras

    from trainer.network import build_extractor, build_head
    from trainer.stream import Batches, train_streamed

    began = {"start": time.perf_counter()}
    memory_mb = {"libraries": _peak_mb()}
    rng = np.random.default_rng(recipe.seed)
    data = scan(root)
    parts = split(data, holdout=recipe.holdout, rng=rng)
    began["scan"], memory_mb["scan"] = time.perf_counter(), _peak_mb()
    keras.utils.set_random_seed(recipe.seed)
    spec = InputSpec(
        height_px=SIDE_PX, width_px=SIDE_PX, color="rgb", resize="stretch", kernel="halving", scaling="raw"
    )
    extractor = build_extractor(recipe)
    stores = {}
    for name, indices, augment in (("train", parts.train, recipe.augment), ("held out", parts.held_out, None)):
        rows = len(indices) * (1 + (augment.views if augment else 0))
        stores[name] = FeatureStore.open(cache, name, rows=rows, width=extractor.output_shape[-1])
        prepared = (picture for picture, _ in views(data, indices, spec, augment, rng))
        with stores[name].writing(block=BATCH) as writer:
            for batch in extract_batches(extractor, prepared, on_picture=lambda: None):
                writer.append(batch)
    began["features"], memory_mb["features"] = time.perf_counter(), _peak_mb()
    labels = np.repeat([data.samples[index].label for index in parts.train], 1 + recipe.augment.views)
    head = build_head(recipe, extractor.output_shape[-1], len(LABELS))
    batches = Batches(
        lambda rows, _epoch: stores["train"].read(rows),
        labels.astype(np.int64),
        classes=len(LABELS),
        batch_size=recipe.head.batch_size,
        seed=recipe.seed,
    )
    losses: list[float] = []
    train_streamed(head, batches, recipe.head, on_epoch=losses.append)
    began["head"], memory_mb["head"] = time.perf_counter(), _peak_mb()
    right = 0
    for begin in range(0, stores["held out"].rows, 1024):
        judged = range(begin, min(begin + 1024, stores["held out"].rows))
        truth = np.array([data.samples[parts.held_out[row]].label for row in judged])
        right += int((head.predict_on_batch(stores["held out"].read(judged)).argmax(axis=1) == truth).sum())
    names = list(began)
    return {
        "seconds": {b: round(began[b] - began[a], 1) for a, b in itertools.pairwise(names)},
        "peak_mb": memory_mb,
        "features_mb": round(sum(store.path.stat().st_size for store in stores.values()) / 1e6),
        "losses": [round(loss, 4) for loss in losses],
        "accuracy": round(right / stores["held out"].rows, 4),
    }


def _peak_mb() -> int:
    """The most resident memory that this process has had so far (``VmHWM``)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    sys.exit(main())
