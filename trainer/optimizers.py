"""Optimizers, schedules and losses of a recipe as Keras has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from edge.model_card import Kind
    from trainer.recipe import FinetuneRecipe, TrainRecipe

_MOMENTUM = 0.9
_FIRST_RATE = 0.05  # of the full rate, where a warm-up begins


def build_optimizer(
    recipe: TrainRecipe | FinetuneRecipe, steps: int, *, warmup: float = 0.0, scale_loss: bool = False
) -> keras.optimizers.Optimizer:
    """The optimizer with its schedule over ``steps`` batches; only the weights of kernels decay.

    The rate rises during the first ``warmup`` of the steps; ``scale_loss`` is for half precision.
    """
    from keras import optimizers

    rate: float | optimizers.schedules.LearningRateSchedule = recipe.learning_rate
    if recipe.schedule == "cosine":
        rising = int(steps * warmup)
        rate = optimizers.schedules.CosineDecay(
            recipe.learning_rate * (_FIRST_RATE if rising else 1.0),
            max(1, steps - rising),
            warmup_target=recipe.learning_rate if rising else None,
            warmup_steps=rising,
        )
    match recipe.optimizer:
        case "adamw":
            optimizer = optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
        case "adam":
            optimizer = optimizers.Adam(rate)
        case "sgd":
            optimizer = optimizers.SGD(
                rate, momentum=_MOMENTUM, nesterov=True, weight_decay=recipe.weight_decay or None
            )
    if recipe.optimizer != "adam":
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizers.LossScaleOptimizer(optimizer) if scale_loss else optimizer


def build_loss(kind: Kind, label_smoothing: float) -> keras.losses.Loss:
    """Cross-entropy of logits: over the classes, or of each answer by itself."""
    from keras import losses

    loss = losses.CategoricalCrossentropy if kind == "classify" else losses.BinaryCrossentropy
    return loss(from_logits=True, label_smoothing=label_smoothing)
