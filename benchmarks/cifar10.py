"""The CIFAR-10 task: 500 pictures to learn from, 100 to be judged by, 32 pixels wide."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from edge.preprocess import prepare, read_picture
from trainer.data import DataSet, scan
from trainer.parameters import with_parameters
from trainer.progress import Steps
from trainer.recipe import Recipe, SplitRecipe, load_recipe
from trainer.split import split
from trainer.training import Trained, train

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

RECIPES = Path(__file__).parents[1] / "examples" / "recipes"
BEST = {
    "backbone.alpha": 1.0,
    "split.validation": 0.1,
    "augment.framing": "free",
    "augment.views": 3,
}


def mechanics(folder: Path, say: Callable[[str], None]) -> None:
    """A frozen ResNet50 (there are no weights of it here) with a new softmax: ours, and a plain Keras fit."""
    import keras

    recipe = with_parameters(load_recipe(RECIPES / "resnet50-cifar10.toml"), {"backbone.weights": "none"})
    data = scan(folder / "datasets" / "cifar10_500" / "train")
    parts = split(data, recipe.split, np.random.default_rng(1))
    spec = recipe.input_spec
    started = time.perf_counter()
    trained = _trained(data, recipe)
    ours_s = time.perf_counter() - started
    assert trained.network.head is not None
    pixels = keras.Input((recipe.backbone.size_px, recipe.backbone.size_px, 3))
    head = trained.network.head
    assert head is not None  # a recipe that classifies has one
    plain = keras.Model(pixels, head(trained.network.extractor(pixels)))
    plain.compile(optimizer=keras.optimizers.Adam(1e-3), loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    inputs = np.stack([prepare(read_picture(data.samples[i].path), spec) for i in (*parts.train, *parts.validation)])
    targets = data.targets((*parts.train, *parts.validation))
    count = len(parts.train)
    started = time.perf_counter()
    plain.fit(
        inputs[:count],
        targets[:count],
        epochs=1,
        batch_size=recipe.train.batch_size,
        validation_data=(inputs[count:], targets[count:]),
        verbose=0,
    )
    epoch_s = time.perf_counter() - started
    head_s = sum(record.seconds for record in trained.history)
    say(
        f"frozen ResNet50, {count} pictures: {recipe.train.epochs} epochs {ours_s:.1f} s with the features, then "
        f"{head_s / recipe.train.epochs:.2f} s an epoch; plain Keras {epoch_s:.1f} s an epoch"
    )


def best(folder: Path, say: Callable[[str], None]) -> None:
    """A linear head on frozen features of the widest network that there are weights of."""
    root = folder / "datasets" / "cifar10_500"
    test = scan(root / "test")
    for size_px in (160, 224):
        recipe = with_parameters(
            Recipe(),
            BEST | {"backbone.weights": str(folder / "weights"), "backbone.size_px": size_px, "train.effort": "quick"},
        )
        trained = _trained(scan(root / "train"), recipe)
        spec = recipe.input_spec
        inputs = np.stack([prepare(read_picture(sample.path), spec) for sample in test.samples])
        logits = trained.network.logits(trained.network.embed(inputs))
        right = logits.argmax(axis=1) == _truth(test)
        say(f"MobileNetV2 1.0, {size_px} px: {right.mean():.1%} of {len(right)} test pictures")


def _trained(data: DataSet, recipe: Recipe) -> Trained:
    parts = split(data, SplitRecipe(validation=recipe.split.validation, test=0.01), np.random.default_rng(1))
    with tempfile.TemporaryDirectory() as workdir:
        return train(data, parts, recipe.input_spec, recipe, steps=Steps(Console(quiet=True)), workdir=Path(workdir))


def _truth(data: DataSet) -> npt.NDArray[np.int64]:
    return np.array([sample.label for sample in data.samples], dtype=np.int64)
