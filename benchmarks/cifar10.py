"""The CIFAR-10 task: 500 pictures to learn from, 100 to be judged by, 32 pixels wide."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from cost import measured
from msgspec.structs import replace
from rich.console import Console

from edge.preprocess import prepare, read_picture
from trainer.data import DataSet, scan
from trainer.network import build_network
from trainer.parameters import with_parameters
from trainer.progress import Steps
from trainer.recipe import BackboneRecipe, Recipe, load_recipe
from trainer.split import Split, split
from trainer.training import Trained, train

if TYPE_CHECKING:
    from collections.abc import Callable

RECIPES = Path(__file__).parents[1] / "examples" / "recipes"
FOLDS, RIDGE, BATCH = 5, 3.0, 50
VIEWS = (
    (BackboneRecipe(name="mobilenetv2", alpha=1.0, size_px=128), 1.0),
    (BackboneRecipe(name="mobilenetv2", alpha=1.0, size_px=160), 1.0),
    (BackboneRecipe(name="mobilenetv3small", alpha=0.75, size_px=224), 2.0),
)
"""Backbones and what each counts. Pictures enlarged little suit the one; the other wants them as it knows them."""
Rows = npt.NDArray[np.float64]


def mechanics(folder: Path, say: Callable[[str], None]) -> None:
    """A frozen ResNet50 (there are no weights of it here) with a new softmax: ours, and a plain Keras fit.

    Both see the same pictures and have the same recipe. Ours shows the head of the split, before it learns from the
    validation pictures too: that is what can be compared.
    """
    recipe = with_parameters(
        load_recipe(RECIPES / "resnet50-cifar10.toml"), {"backbone.weights": "none", "train.schedule": "constant"}
    )
    data = scan(folder / "datasets" / "cifar10_500" / "train")
    trained, ours = measured(lambda: _trained(data, recipe))
    last = trained.history[-1]
    say(f"ours:        {ours}, {last.epoch} epochs, validation loss {last.val_loss:.3f}, {last.val_accuracy:.1%}")
    (loss, accuracy), theirs = measured(lambda: _plain_keras(data, recipe))
    say(f"plain Keras: {theirs}, {last.epoch} epochs, validation loss {loss:.3f}, {accuracy:.1%}")
    say(f"ours is {theirs.wall_s / ours.wall_s:.1f} times as fast, with 1/{theirs.cpu_s / ours.cpu_s:.1f} of the work")


def _plain_keras(data: DataSet, recipe: Recipe) -> tuple[float, float]:
    """The model as one would write it down, trained by ``fit``: loss and accuracy of the validation pictures."""
    import keras

    parts = _parts(data, recipe)
    keras.utils.set_random_seed(recipe.seed)  # the same random base as ours
    network = build_network(recipe, len(data.labels))
    head = network.head
    assert head is not None  # a recipe that classifies has one
    pixels = keras.Input((recipe.backbone.size_px, recipe.backbone.size_px, 3))
    model = keras.Model(pixels, head(network.extractor(pixels)))
    model.compile(
        keras.optimizers.Adam(1e-3), keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    order = (*parts.train, *parts.validation)
    inputs = np.stack([prepare(read_picture(data.samples[i].path), recipe.input_spec) for i in order])
    targets, count = data.targets(order), len(parts.train)
    fitted = model.fit(
        inputs[:count],
        targets[:count],
        epochs=recipe.train.epochs,
        batch_size=recipe.train.batch_size,
        validation_data=(inputs[count:], targets[count:]),
        verbose=0,
    )
    return float(fitted.history["val_loss"][-1]), float(fitted.history["val_accuracy"][-1])


def best(folder: Path, say: Callable[[str], None]) -> None:
    """One ridge classifier on what two frozen backbones say of a picture at three sizes, and of its mirror image.

    Chosen by cross-validation within the 500 pictures (what was tried is in docs/benchmarks-training.md); the test
    pictures are looked at here alone.
    """
    root = folder / "datasets" / "cifar10_500"
    train_set, test_set = scan(root / "train"), scan(root / "test")
    targets = np.tile(train_set.targets(range(len(train_set.samples))), (2, 1)).astype(np.float64)
    truth = _truth(test_set)
    rows = [_views(train_set, test_set, folder / "weights", *view) for view in VIEWS]
    seen, asked = (np.concatenate(parts, axis=1) for parts in zip(*rows, strict=True))
    folds = np.tile(_folds(_truth(train_set)), 2)
    answers = np.zeros(targets.shape)
    for fold in range(FOLDS):
        out = folds == fold
        answers[out] = ridge(seen[~out], targets[~out], seen[out])
    found = _both_sides(answers).argmax(axis=1) == _truth(train_set)
    say(f"cifar10_500, cross-validated within the training pictures: {found.mean():.1%}")
    right = _both_sides(ridge(seen, targets, asked)).argmax(axis=1) == truth
    say(f"cifar10_500, test pictures: {right.mean():.1%} of {len(right)}")


def ridge(seen: Rows, targets: Rows, asked: Rows) -> Rows:
    """Least squares with a penalty, in its dual form: there are fewer pictures than features."""
    kernel = seen @ seen.T
    penalty = RIDGE * np.trace(kernel) / len(kernel)
    shares = np.linalg.solve(kernel + penalty * np.eye(len(kernel)), targets - targets.mean(axis=0))
    return np.asarray(asked @ (seen.T @ shares))


def _views(
    learnt: DataSet, judged: DataSet, weights: Path, backbone: BackboneRecipe, counts: float
) -> tuple[Rows, Rows]:
    """Standardized features, pictures first and mirror images then, of those to learn from and of those to judge by."""
    recipe = Recipe(kind="embed", backbone=replace(backbone, weights=str(weights)))
    network = build_network(recipe, len(learnt.labels))
    rows = []
    for data in (learnt, judged):
        plain = [prepare(read_picture(sample.path), recipe.input_spec) for sample in data.samples]
        both = [*plain, *(picture[:, ::-1] for picture in plain)]
        embedded = [network.embed(np.stack(both[first : first + BATCH])) for first in range(0, len(both), BATCH)]
        rows.append(np.concatenate(embedded).astype(np.float64))
    mean, spread = rows[0].mean(axis=0), rows[0].std(axis=0) + 1e-3 * rows[0].std()
    scale = np.sqrt(counts / rows[0].shape[1])
    return (rows[0] - mean) / spread * scale, (rows[1] - mean) / spread * scale


def _both_sides(answers: Rows) -> Rows:
    half = len(answers) // 2
    return np.asarray(answers[:half] + answers[half:])


def _folds(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """A fold for each picture, every class in proportion."""
    rng = np.random.default_rng(0)
    folds = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        folds[members] = np.arange(len(members)) % FOLDS
    return folds


def _trained(data: DataSet, recipe: Recipe) -> Trained:
    parts = _parts(data, recipe)
    with tempfile.TemporaryDirectory() as workdir:
        return train(data, parts, recipe.input_spec, recipe, steps=Steps(Console(quiet=True)), workdir=Path(workdir))


def _parts(data: DataSet, recipe: Recipe) -> Split:
    """None to test with: that is a folder of its own."""
    return split(data, replace(recipe.split, test=0.0), np.random.default_rng(1))


def _truth(data: DataSet) -> npt.NDArray[np.int64]:
    return np.array([sample.label for sample in data.samples], dtype=np.int64)
