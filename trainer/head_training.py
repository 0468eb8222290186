"""The head alone, on cached features: seconds instead of hours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from trainer.balance import order, sample_weights
from trainer.checkpoint import EpochRecord
from trainer.optimizers import build_loss, build_optimizer
from trainer.scored import Scored, answer_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import keras
    import numpy.typing as npt

    from trainer.features import Features, Labelled
    from trainer.network import Network
    from trainer.recipe import TrainRecipe

_LOOKS = 12
"""The validation pictures are asked this many times: in seconds there is little to be stopped early."""
FOLDS = 4


def score(network: Network, held: Labelled) -> Scored:
    """What the head says of pictures that it did not learn from."""
    return Scored(network.kind, network.logits(held.inputs), np.asarray(held.inputs), held.targets)


def train_head(
    network: Network,
    features: Features,
    recipe: TrainRecipe,
    *,
    seed: int,
    on_epoch: Callable[[EpochRecord], None] = lambda _record: None,
) -> list[EpochRecord]:
    """Train the head and leave the best weights in it; an interruption by the user keeps the best so far.

    Args:
        network: its extractor must be the one that the features are of.
        features: cached, see ``trainer.features``.
        recipe: epochs, rate, batch and so on.
        seed: of the order of the samples.
        on_epoch: called with each record.
    """
    head = network.head
    if head is None:
        return []
    history: list[EpochRecord] = []
    best_loss, best, since = np.inf, head.get_weights(), 0
    chosen = np.arange(features.validation_count, len(features.everything.targets))
    every = 1 if recipe.patience else max(1, recipe.epochs // _LOOKS)
    started = time.perf_counter()
    try:
        for epoch, loss in enumerate(_epochs(network, features.everything, chosen, recipe, seed), start=1):
            if epoch % every and epoch < recipe.epochs:
                continue
            scored = score(network, features.validation)
            seconds, started = time.perf_counter() - started, time.perf_counter()
            history.append(EpochRecord("head", epoch, loss, scored.loss, scored.accuracy, seconds))
            on_epoch(history[-1])
            since += 1
            if scored.loss <= best_loss:
                best_loss, best, since = scored.loss, head.get_weights(), 0
            if recipe.patience and since >= recipe.patience:
                break
    except KeyboardInterrupt:
        if not history:
            raise
    head.set_weights(best)
    return history


def train_on_all(
    network: Network, features: Features, recipe: TrainRecipe, initial: list[npt.NDArray[np.float32]], *, seed: int
) -> Scored:
    """Train the head once more, on the validation pictures too, and leave it so.

    What it says of a picture is found by cross-validation: heads that have not seen a quarter of the pictures answer
    for that quarter. So every picture teaches, and every picture tells how sure the head may be.

    Args:
        network: as for ``train_head``.
        features: as there.
        recipe: as there; it has no early end here.
        initial: the weights of an untrained head, where each of them starts.
        seed: of the order of the samples.

    Returns:
        The answers to all pictures as they are, the validation pictures first.
    """
    head: keras.Model = network.head
    everything = features.everything
    names, group = np.unique(features.groups, return_inverse=True)
    fold = (np.random.default_rng((seed, 4)).permutation(len(names)) % FOLDS)[group]
    plain = np.flatnonzero(features.plain)
    logits = np.zeros((len(plain), head.output_shape[-1]), np.float32)
    for number in range(FOLDS):
        head.set_weights(initial)
        for _ in _epochs(network, everything, np.flatnonzero(fold != number), recipe, seed):
            pass
        asked = fold[plain] == number
        logits[asked] = network.logits(everything.inputs[plain[asked]])
    head.set_weights(initial)
    for _ in _epochs(network, everything, np.arange(len(fold)), recipe, seed):
        pass
    judged = everything.rows(plain)
    return Scored(network.kind, logits, np.asarray(judged.inputs), judged.targets)


def _epochs(
    network: Network, data: Labelled, chosen: npt.NDArray[np.int64], recipe: TrainRecipe, seed: int
) -> Iterator[float]:
    """Train on the chosen rows, an epoch whenever the next loss is asked for; no more than a batch is in memory."""
    head: keras.Model = network.head
    targets = data.targets[chosen]
    weights = sample_weights(targets) if recipe.balance != "none" else np.ones(len(targets), np.float32)
    wanted = answer_targets(network.kind, targets)
    batch_size = min(recipe.batch_size, len(wanted))
    steps = -(-len(wanted) // batch_size)
    optimizer = build_optimizer(recipe, steps * recipe.epochs)
    head.compile(optimizer=optimizer, loss=build_loss(network.kind, recipe.label_smoothing))
    for epoch in range(recipe.epochs):
        rng = np.random.default_rng((seed, 1, epoch))
        rows = order(weights, sampled=recipe.balance == "sampling", rng=rng, batch_size=batch_size)
        head.reset_metrics()
        loss = 0.0
        for batch in rows.reshape(steps, batch_size):
            counts = weights[batch] if recipe.balance == "weights" else None
            loss = float(head.train_on_batch(data.inputs[chosen[batch]], wanted[batch], sample_weight=counts))
        yield loss


def without_patience(recipe: TrainRecipe, history: list[EpochRecord]) -> TrainRecipe:
    """The recipe as it turned out: with early stopping, as many epochs as were best."""
    if not recipe.patience or not history:
        return recipe
    best = min(history, key=lambda record: record.val_loss)
    return msgspec.structs.replace(recipe, patience=0, epochs=best.epoch)
