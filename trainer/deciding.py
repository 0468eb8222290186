"""What the validation pictures decide after training: temperature, thresholds, and the rule for the unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from trainer.calibrate import sigmoid, softmax
from trainer.data import balanced
from trainer.reference import reference
from trainer.settle import settle
from trainer.views import Pictures, batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edge.model_card import InputSpec, ModelCard, Reference
    from trainer.data import DataSet
    from trainer.recipe import UnknownRecipe
    from trainer.settle import Settled
    from trainer.split import Split
    from trainer.training import Trained

LEAST_FOR_A_RULE = 20
"""With fewer validation pictures, one in twenty of them cannot be told from none."""
CENTER_PICTURES = 8192
"""As many training pictures make the class centres: more would move a mean no further, and need memory without end."""
_BATCH = 32


def calibrated_card(card: ModelCard, trained: Trained, data: DataSet, parts: Split, recipe: UnknownRecipe) -> ModelCard:
    """The card with what was decided, and how well calibrated the scores were before and after.

    Args:
        card: of this training, with kind, labels and input.
        trained: with what its float network says of pictures that it did not learn from.
        data: the pictures.
        parts: those learnt from give the class centres, those of the validation the operating point.
        recipe: which rule for the unknown.
    """
    seen = trained.validation
    answers = {"logits": seen.logits, "embeddings": seen.embeddings, "targets": seen.targets}
    settled = settle(card.kind, card.labels, **answers, training=None, recipe=recipe)
    card = replace(
        card,
        temperature=round(settled.temperature, 4),
        thresholds=settled.thresholds,
        metrics={**card.metrics, **settled.metrics},
    )
    if card.kind == "classify" and recipe.method != "none" and len(parts.validation) >= LEAST_FOR_A_RULE:
        rule = _unknown(card, trained, data, parts, recipe)
        card = replace(card, unknown=rule.unknown, metrics={**card.metrics, "unknown": rule.metrics["unknown"]})
    return replace(card, reference=_reference(card, trained, parts))


def _reference(card: ModelCard, trained: Trained, parts: Split) -> Reference | None:
    """How pictures that were not learnt from are answered."""
    seen = trained.validation
    scaled = seen.logits / np.float32(card.temperature)
    if card.kind == "classify":
        scores = softmax(scaled)
    elif card.kind == "binary":
        scores = np.hstack([1 - sigmoid(scaled), sigmoid(scaled)])
    else:
        scores = sigmoid(scaled)
    # A cross-validated head has answers for pictures that the centres were made of.
    embeddings = seen.embeddings if len(seen.logits) == len(parts.validation) else None
    return reference(card.kind, card.labels, scores, embeddings, card.unknown)


def _unknown(card: ModelCard, trained: Trained, data: DataSet, parts: Split, recipe: UnknownRecipe) -> Settled:
    """Settled by the validation pictures alone: a cross-validated head has answers for those learnt from as well."""
    network = trained.network
    embeddings = _embeddings(trained, data, parts.validation, card.input)
    learnt = some_learnt(data, parts)
    labels = np.array([data.samples[index].label for index in learnt], dtype=np.int64)
    return settle(
        card.kind,
        card.labels,
        logits=network.logits(embeddings),
        embeddings=embeddings,
        targets=data.targets(parts.validation),
        training=(_embeddings(trained, data, learnt, card.input), labels),
        recipe=recipe,
    )


def some_learnt(data: DataSet, parts: Split) -> Sequence[int]:
    """The training pictures, or as many of them as class centres need, the classes taking turns."""
    if len(parts.train) <= CENTER_PICTURES:
        return parts.train
    return balanced(parts.train, data, CENTER_PICTURES, np.random.default_rng(0))


def _embeddings(trained: Trained, data: DataSet, indices: Sequence[int], spec: InputSpec) -> npt.NDArray[np.float32]:
    """``(n, features) float32`` of pictures as the device prepares them."""
    prepared = Pictures(data, spec)
    return np.concatenate([trained.network.embed(batch) for batch in batches(prepared.plain, indices, _BATCH)])
