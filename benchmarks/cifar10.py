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
from trainer.backbones import build_backbone, kind_of
from trainer.data import DataSet, scan
from trainer.heads import build_head, pool
from trainer.network import Network, build_network
from trainer.parameters import with_parameters
from trainer.progress import Steps
from trainer.recipe import BackboneRecipe, Recipe, load_recipe
from trainer.scaling import scale_pixels
from trainer.split import Split, split
from trainer.training import Trained, train

if TYPE_CHECKING:
    from collections.abc import Callable

RECIPES = Path(__file__).parents[1] / "examples" / "recipes"
FOLDS, RIDGE, BATCH = 5, 1.0, 50
VIEWS = (
    (BackboneRecipe(name="mobilenetv2", alpha=1.0, size_px=128), 1.0),
    (BackboneRecipe(name="mobilenetv2", alpha=1.0, size_px=160), 1.0),
    (BackboneRecipe(name="mobilenetv3small", alpha=0.75, size_px=224), 2.0),
)
"""Frozen backbones and what each counts. Pictures enlarged little suit the one, of the usual size the other."""
TUNED = (
    (BackboneRecipe(name="mobilenetv2", alpha=1.0, size_px=128), 15, 3e-4),
    (BackboneRecipe(name="mobilenetv3small", alpha=0.75, size_px=192), "all", 2e-4),
)
"""Backbones that train on: how many of their blocks, and at which rate. Higher rates undo what they know."""
FROZEN_COUNTS = 1.5
"""What the frozen backbones count beside each of the fine-tuned ones."""
Rows = npt.NDArray[np.float64]


def mechanics(folder: Path, say: Callable[[str], None]) -> None:
    """A frozen ResNet50 (there are no weights of it here) with a new softmax: ours, and a plain Keras fit.

    Both have the same recipe and see the same pictures, in another order. That the way through features changes nothing
    is shown by Keras itself: its fit of the head on our features ends where its fit of the whole ends. Ours shows the
    head of the split, before it learns from the validation pictures too; its loss is that at the best temperature.
    """
    recipe = with_parameters(
        load_recipe(RECIPES / "resnet50-cifar10.toml"), {"backbone.weights": "none", "train.schedule": "constant"}
    )
    data = scan(folder / "datasets" / "cifar10_500" / "train")
    trained, ours = measured(lambda: _trained(data, recipe))
    last = trained.history[-1]
    say(f"ours:        {ours}, {last.epoch} epochs, validation loss {last.val_loss:.3f}, {last.val_accuracy:.1%}")
    (loss, accuracy), theirs = measured(lambda: plain_keras(data, recipe))
    say(f"plain Keras: {theirs}, {last.epoch} epochs, validation loss {loss:.3f}, {accuracy:.1%}")
    loss, accuracy = plain_keras(data, recipe, trained.network)
    say(f"plain Keras on our features: validation loss {loss:.3f}, {accuracy:.1%}")
    say(f"ours is {theirs.wall_s / ours.wall_s:.1f} times as fast, with 1/{theirs.cpu_s / ours.cpu_s:.1f} of the work")


def plain_keras(data: DataSet, recipe: Recipe, network: Network | None = None) -> tuple[float, float]:
    """The model as one would write it down, trained by ``fit``: loss and accuracy of the validation pictures.

    With ``network`` its head alone, on the features that the network gives.
    """
    import keras

    parts = _parts(data, recipe)
    order, count = (*parts.train, *parts.validation), len(parts.train)
    inputs = np.stack([prepare(read_picture(data.samples[i].path), recipe.input_spec) for i in order])
    if network is None:
        keras.utils.set_random_seed(recipe.seed)  # the same random base as ours
        backbone = build_backbone(recipe.backbone)
        given = keras.Input((recipe.backbone.size_px, recipe.backbone.size_px, 3))
        vector = pool(recipe.pooling, backbone(scale_pixels(given, kind_of(recipe.backbone).mode)))
    else:
        inputs = np.concatenate([network.embed(inputs[first : first + BATCH]) for first in range(0, len(order), BATCH)])
        given = vector = keras.Input(inputs.shape[1:])
    head = build_head(recipe.head.blocks, width=vector.shape[-1], outputs=len(data.labels), seed=recipe.seed)
    model = keras.Model(given, head(vector))
    model.compile(
        keras.optimizers.Adam(1e-3), keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    targets = data.targets(order)
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
    """Two fine-tuned networks, kernel ridge regression on frozen backbones; each sees a picture and its mirror image.

    Chosen by cross-validation within the 500 pictures (what was tried is in docs/benchmarks-training.md); the test
    pictures are asked about the whole alone.
    """
    root, weights = folder / "datasets" / "cifar10_500", str(folder / "weights")
    learnt, judged = scan(root / "train"), scan(root / "test")
    kernel, asked = _kernels(learnt, judged, weights)
    targets = np.tile(learnt.targets(range(len(learnt.samples))), (2, 1)).astype(np.float64)
    folds = np.tile(_folds(_truth(learnt)), 2)
    answers = np.zeros(targets.shape)
    for fold in range(FOLDS):
        out = folds == fold
        answers[out] = ridge(kernel[np.ix_(~out, ~out)], targets[~out], kernel[np.ix_(out, ~out)])
    found = _both_sides(answers).argmax(axis=1) == _truth(learnt)
    say(f"cifar10_500, frozen backbones, cross-validated within the training pictures: {found.mean():.1%}")
    whole = FROZEN_COUNTS * _alike(_both_sides(ridge(kernel, targets, asked)))
    for backbone, blocks, rate in TUNED:
        whole += _alike(_fine_tuned(learnt, judged, replace(backbone, weights=weights), blocks, rate))
    right = whole.argmax(axis=1) == _truth(judged)
    say(f"cifar10_500, all together, test pictures: {right.mean():.1%} of {len(right)}")


def ridge(kernel: Rows, targets: Rows, asked: Rows) -> Rows:
    """Least squares with a penalty: ``(n, n)`` likenesses of what is learnt, ``(m, n)`` to it of what is asked."""
    return np.asarray(asked @ np.linalg.solve(kernel + RIDGE * np.eye(len(kernel)), targets - targets.mean(axis=0)))


def _kernels(learnt: DataSet, judged: DataSet, weights: str) -> tuple[Rows, Rows]:
    """Gaussian likeness by the frozen backbones, 0…1: of what is learnt to itself, and of the others to it."""
    own, others = np.zeros(()), np.zeros(())
    for backbone, counts in VIEWS:
        recipe = Recipe(kind="embed", backbone=replace(backbone, weights=weights))
        network = build_network(recipe, len(learnt.labels))
        # The root tames the few features that are very large.
        seen, asked = (np.sqrt(np.maximum(_both(network.embed, data, recipe), 0)) for data in (learnt, judged))
        mean, spread = seen.mean(axis=0), seen.std(axis=0) + 1e-3 * seen.std()
        seen, asked = (seen - mean) / spread, (asked - mean) / spread
        near, far = _distances(seen, seen), _distances(asked, seen)
        share, width = counts / sum(each for _, each in VIEWS), np.median(near)
        own, others = own + share * np.exp(-near / width), others + share * np.exp(-far / width)
    return own, others


def _distances(rows: Rows, others: Rows) -> Rows:
    squares = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None]
    return np.asarray(squares - 2 * rows @ others.T)


def _fine_tuned(learnt: DataSet, judged: DataSet, backbone: BackboneRecipe, blocks: int | str, rate: float) -> Rows:
    """What a backbone that ``fit`` would train on says of the pictures: logits, those of the mirror images added."""
    changes = {
        "augment.framing": "free", "augment.crop": 0.6, "augment.turn_deg": 0.0, "augment.noise": 0.0,
        "augment.blur": 0.0, "finetune.blocks": blocks, "finetune.learning_rate": rate, "finetune.epochs": 24,
        "finetune.averaging": 0.7,
        "finetune.early_size": 1.0, "finetune.train_size": 1.0, "split.validation": 0.1,
    }  # fmt: skip
    recipe = with_parameters(Recipe(backbone=backbone), changes)
    trained = _trained(learnt, recipe)
    assert trained.stage == "finetune", "the validation pictures found the frozen backbone better"
    network = trained.network
    return _both_sides(_both(lambda pictures: network.logits(network.embed(pictures)), judged, recipe))


def _both(say: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]], data: DataSet, recipe: Recipe) -> Rows:
    """What is said of all pictures, and then of all their mirror images."""
    plain = [prepare(read_picture(sample.path), recipe.input_spec) for sample in data.samples]
    both = np.stack([*plain, *(picture[:, ::-1] for picture in plain)])
    return np.concatenate([say(both[first : first + BATCH]) for first in range(0, len(both), BATCH)]).astype(np.float64)


def _alike(answers: Rows) -> Rows:
    """Answers on one scale, whoever gives them."""
    return np.asarray(answers / answers.std())


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
