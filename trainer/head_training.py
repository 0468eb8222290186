"""The head alone, on cached features: seconds instead of hours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from trainer.balance import order, sample_weights
from trainer.checkpoint import EpochRecord
from trainer.optimizers import build_loss, build_optimizer
from trainer.scored import Scored, answer_targets

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.features import Features
    from trainer.network import Network
    from trainer.recipe import TrainRecipe

OnEpoch = "Callable[[EpochRecord], None]"
_LOOKS = 12
"""The validation pictures are asked this many times: in seconds there is little to be stopped early."""


def score(network: Network, features: Features) -> Scored:
    """What the head says of the validation pictures."""
    held = features.validation
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
    head, training = network.head, features.training
    if head is None:
        return []
    weights = sample_weights(training.targets) if recipe.balance != "none" else np.ones(len(training.targets), "f4")
    wanted = answer_targets(network.kind, training.targets)
    batch_size = min(recipe.batch_size, len(wanted))
    steps = -(-len(wanted) // batch_size)
    head.compile(
        optimizer=build_optimizer(recipe, steps * recipe.epochs), loss=build_loss(network.kind, recipe.label_smoothing)
    )
    history: list[EpochRecord] = []
    best_loss, best, since = np.inf, head.get_weights(), 0
    every = 1 if recipe.patience else max(1, recipe.epochs // _LOOKS)
    try:
        for epoch in range(recipe.epochs):
            started = time.perf_counter()
            rng = np.random.default_rng((seed, 1, epoch))
            rows = order(weights, sampled=recipe.balance == "sampling", rng=rng, batch_size=batch_size)
            head.reset_metrics()
            losses = [
                head.train_on_batch(
                    training.inputs[batch],
                    wanted[batch],
                    sample_weight=weights[batch] if recipe.balance == "weights" else None,
                )
                for batch in rows.reshape(steps, batch_size)
            ]
            if (epoch + 1) % every and epoch + 1 < recipe.epochs:
                continue
            scored = score(network, features)
            seconds = time.perf_counter() - started
            history.append(EpochRecord("head", epoch + 1, float(losses[-1]), scored.loss, scored.accuracy, seconds))
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
