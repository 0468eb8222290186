"""Everything that validation pictures decide about a model's answers: temperature, thresholds, the unknown rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer import unknown
from trainer.calibrate import calibrate, sigmoid, softmax
from trainer.thresholds import per_label, youden

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edge.model_card import Kind, UnknownRule
    from trainer.recipe import UnknownRecipe

    Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Settled:
    """What goes into the card; ``metrics`` belongs into the card's own under ``calibration`` and ``unknown``."""

    temperature: float = 1.0
    thresholds: dict[str, float] = field(default_factory=dict)
    unknown: UnknownRule | None = None
    metrics: dict[str, Any] = field(default_factory=dict)


def settle(
    kind: Kind,
    labels: Sequence[str],
    *,
    logits: Floats,
    embeddings: Floats,
    targets: Floats,
    training: tuple[Floats, npt.NDArray[np.int64]] | None,
    recipe: UnknownRecipe,
) -> Settled:
    """Decide by what the float model says of the validation pictures.

    Args:
        kind: of the model; nothing is to be settled for ``embed``.
        labels: class names.
        logits: ``(n, classes)`` before any temperature; one column for ``binary``.
        embeddings: ``(n, features)`` of the same pictures.
        targets: ``(n, classes)`` of 0 or 1.
        training: embeddings and class indices of training pictures, which the class centres are made of.
        recipe: how the unknown rule is chosen.
    """
    if kind == "embed" or not len(logits):
        return Settled()
    calibration = calibrate(logits, targets, kind)
    scaled = logits / np.float32(calibration.temperature)
    metrics: dict[str, Any] = {"calibration": calibration.summary()}
    if kind == "binary":
        threshold = round(youden(sigmoid(scaled[:, 0]), targets[:, -1] > 0), 4)
        return Settled(calibration.temperature, {labels[-1]: threshold}, None, metrics)
    if kind == "multilabel":
        return Settled(calibration.temperature, per_label(sigmoid(scaled), targets, labels), None, metrics)
    rule = None
    if recipe.method != "none" and training is not None and embeddings.ndim == 2:  # noqa: PLR2004  vectors, no maps
        centers = unknown.class_centers(*training, len(labels))
        validated = unknown.Validated(scaled, embeddings, targets.argmax(axis=1))
        areas = unknown.measure(validated, centers)
        method = unknown.choose(areas) if recipe.method == "auto" else recipe.method
        scores = softmax(scaled).astype(np.float32)
        rule = unknown.make_rule(method, scores, embeddings, centers, rejected=recipe.rejected)
        metrics["unknown"] = {"method": method, "rejected": rule.rejected, "area_under_roc": areas}
    return Settled(calibration.temperature, {}, rule, metrics)
