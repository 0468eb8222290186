"""Ask any model file about labelled pictures, through the device's own code, and collect what a report needs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import ModelFileError, PictureError
from edge.model_card import ModelCard
from edge.preprocess import read_picture
from trainer.calibrate import softmax
from trainer.errors import DataError
from trainer.report.content import Answers, ReportData, Unknown, top_answers

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from edge.model import Model
    from trainer.report.folder import Labelled

_DEFAULT_THRESHOLD = 0.5
_ROUNDING = 1e-3
_RULES = {"max_score": "highest score", "centers": "likeness to the nearest class centre"}
LOGITS_NOTE = "The file's scores are not between 0 and 1; on this page they are taken through softmax."


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it; ``unreadable`` has one message per picture that was left out."""

    data: ReportData
    unreadable: tuple[str, ...]


def measure(model: Model, labelled: Labelled, *, on_picture: Callable[[], None] = lambda: None) -> Measured:
    """Ask about each picture; one that cannot be read is left out.

    Raises:
        ModelFileError: the model gives feature vectors and no scores, or scores that are no numbers.
        DataError: not one of the pictures can be read.
    """
    card = card_of(model)
    paths, scores, truth, seconds, unreadable = [], [], [], [], []
    likeness: list[float] = []
    for path, labels in zip(labelled.pictures, labelled.labels, strict=True):
        on_picture()
        try:
            image = read_picture(path)
        except PictureError as error:
            unreadable.append(str(error))
            continue
        started = time.perf_counter()
        prediction = model.predict(image)
        seconds.append(time.perf_counter() - started)
        scores.append(prediction.scores.astype(np.float64))
        if model.known is not None:
            likeness.append(model.known.value(prediction.scores, prediction.embedding))
        paths.append(path)
        truth.append(np.isin(np.arange(len(card.labels)), labels))
    if not paths:
        raise DataError(
            f"{labelled.root}: none of its {len(unreadable)} pictures can be read, the first: {unreadable[0]}"
        )
    table, notes = np.stack(scores), []
    if not np.isfinite(table).all():
        raise ModelFileError(f"{model.file.path}: gives scores that are no numbers; quantize or train the model anew")
    if table.min() < -_ROUNDING or table.max() > 1 + _ROUNDING:
        table, notes = softmax(table.astype(np.float32)), [LOGITS_NOTE]
    answers = Answers(table, said_by(card, table), 1000 * float(np.median(seconds)), len(model.file.content))
    data = ReportData(
        file=model.file.path,
        card=card,
        root=labelled.root,
        pictures=tuple(paths),
        truth=np.stack(truth),
        answers=answers,
        held_out=False,
        unknown=unknown_of(card, np.array(likeness) if likeness else None),
        notes=tuple(notes),
    )
    return Measured(data, tuple(unreadable))


def card_of(model: Model) -> ModelCard:
    """The file's card; for somebody else's file, one made up of what is known.

    Raises:
        ModelFileError: the model gives feature vectors and no scores.
    """
    if model.kind == "embed":
        raise ModelFileError(
            f"{model.file.path}: gives feature vectors, no classes; there is nothing to be right about"
        )
    return model.file.card or ModelCard(
        name=model.name, version=model.version, kind=model.kind, input=model.spec, labels=model.labels
    )


def unknown_of(card: ModelCard, likeness: npt.NDArray[np.float64] | None) -> Unknown | None:
    """The card's unknown rule and what it measured, for the page."""
    if card.unknown is None or likeness is None:
        return None
    return Unknown(_RULES[card.unknown.method], likeness, card.unknown.threshold)


def said_by(card: ModelCard, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """What the scores say under the card's thresholds: ``(n, classes) bool``.

    ``classify``: the label with the highest score. ``binary``: the second label from its threshold on. ``multilabel``:
    every label from its own threshold on.
    """
    limits = np.array([card.thresholds.get(label, _DEFAULT_THRESHOLD) for label in card.labels])
    if card.kind == "multilabel":
        return np.asarray(scores >= limits)
    if card.kind == "binary":
        second = scores[:, 1] >= limits[1]
        return np.stack([~second, second], axis=1)
    return top_answers(scores)
