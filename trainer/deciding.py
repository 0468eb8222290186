"""What the validation pictures decide after training: temperature, thresholds, and the rule for the unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from trainer import unknown
from trainer.calibrate import calibrate, sigmoid, softmax
from trainer.thresholds import per_label, youden
from trainer.views import Pictures, batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edge.model_card import InputSpec, ModelCard, UnknownRule
    from trainer.data import DataSet
    from trainer.recipe import UnknownRecipe
    from trainer.split import Split
    from trainer.training import Trained

LEAST_FOR_A_RULE = 20
"""With fewer validation pictures, one in twenty of them cannot be told from none."""
_BATCH = 32


def calibrated_card(card: ModelCard, trained: Trained, data: DataSet, parts: Split, recipe: UnknownRecipe) -> ModelCard:
    """The card with what was decided, and how well calibrated the scores were before and after.

    Args:
        card: of this training, with kind, labels and input.
        trained: with what its float network says of the validation pictures.
        data: the pictures.
        parts: those learnt from give the class centres.
        recipe: which rule for the unknown.
    """
    validation = trained.validation
    if card.kind == "embed" or not len(validation.targets):
        return card
    calibration = calibrate(validation.logits, validation.targets, card.kind)
    logits = validation.logits / np.float32(calibration.temperature)
    metrics = {**card.metrics, "calibration": calibration.summary()}
    card = replace(card, temperature=round(calibration.temperature, 4), metrics=metrics)
    if card.kind == "binary":
        threshold = youden(sigmoid(logits)[:, 0], validation.targets[:, 1] > 0)
        return replace(card, thresholds={card.labels[1]: round(threshold, 4)})
    if card.kind == "multilabel":
        return replace(card, thresholds=per_label(sigmoid(logits), validation.targets, card.labels))
    if recipe.method == "none" or len(logits) < LEAST_FOR_A_RULE:
        return card
    rule, areas = _unknown_rule(card, trained, logits, data, parts.train, recipe)
    return replace(card, unknown=rule, metrics={**metrics, "unknown_area_under_roc": areas})


def _unknown_rule(
    card: ModelCard,
    trained: Trained,
    logits: npt.NDArray[np.float32],
    data: DataSet,
    train: Sequence[int],
    recipe: UnknownRecipe,
) -> tuple[UnknownRule, dict[str, float]]:
    validation = trained.validation
    embeddings = _embeddings(trained, data, train, card.input)
    labels = np.array([data.samples[index].label for index in train], dtype=np.int64)
    centers = unknown.class_centers(embeddings, labels, len(card.labels))
    truth = validation.targets.argmax(axis=1)
    areas = unknown.measure(unknown.Validated(logits, validation.embeddings, truth), centers)
    method = unknown.choose(areas) if recipe.method == "auto" else recipe.method
    scores = softmax(logits).astype(np.float32)
    rule = unknown.make_rule(method, scores, validation.embeddings, centers, rejected=recipe.rejected)
    return rule, areas


def _embeddings(trained: Trained, data: DataSet, indices: Sequence[int], spec: InputSpec) -> npt.NDArray[np.float32]:
    """``(n, features) float32`` of pictures as the device prepares them."""
    prepared = Pictures(data, spec)
    return np.concatenate([trained.network.embed(batch) for batch in batches(prepared.plain, indices, _BATCH)])
