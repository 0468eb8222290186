"""What a model's output means: recognised by its last operation, confirmed by numbers, or as the owner says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from trainer.saved.errors import SavedModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edge.model_card import Kind

Ending = Literal["softmax", "sigmoid", "linear"]
"""What a model's last operation is; ``linear`` is anything else, such as logits or features."""
_SUM_TOLERANCE = 1e-3
_TWO = 2


@dataclass(frozen=True, slots=True)
class Head:
    """How a model's output becomes ``scores`` or ``embedding``: its kind, and an activation to append."""

    kind: Kind
    added: Literal["softmax", "sigmoid"] | None = None


def confirm_ending(operation: str, outputs: npt.NDArray[np.float32]) -> Ending:
    """The ending by the name of the last operation and by what came out, ``(n, …)``.

    A softmax can be written by hand, from an exponential and a division; its sums give it away.
    """
    if operation == "Softmax":
        return "softmax"
    if operation == "Sigmoid":
        return "sigmoid"
    rows = outputs.reshape(len(outputs), -1)
    sums_to_one = rows.shape[1] > 1 and bool(np.allclose(rows.sum(axis=1), 1, atol=_SUM_TOLERANCE))
    return "softmax" if sums_to_one and bool((rows >= 0).all()) else "linear"


def choose_head(ending: Ending, shape: Sequence[int], *, told: Kind | None, labels: int | None) -> Head:
    """Decide what the output means; never by a guess.

    Args:
        ending: as recognised.
        shape: of the output, without the batch.
        told: the kind that the owner named.
        labels: how many labels the owner gave.

    Raises:
        SavedModelError: it was not said, or what was said cannot be; the message names the flag to give.
    """
    if told == "embed":
        return Head("embed")
    values = int(np.prod(shape))
    if sum(size > 1 for size in shape) > 1:
        raise SavedModelError(
            f"its output is a map of shape {tuple(shape)}, no scores; if a feature map is meant, give --kind embed"
        )
    if labels is None:
        raise SavedModelError(
            f"it has {values} output{'s' * (values > 1)} ({ending}) and nobody said what they mean: "
            f"give {_lines(values)} with --labels FILE, or --kind embed if they are a feature vector"
        )
    if labels != _expected_labels(values):
        raise SavedModelError(
            f"{labels} labels do not match the model's {values} outputs: --labels needs {_lines(values)}"
            + ("; or give --kind embed if they are a feature vector" if ending == "linear" else "")
        )
    return _classifier(ending, values, told)


def _classifier(ending: Ending, values: int, told: Kind | None) -> Head:
    if values == 1:
        if told not in {None, "binary"} or ending == "softmax":
            raise SavedModelError(f"--kind {told} needs more than its one output; a single score is binary")
        return Head("binary", None if ending == "sigmoid" else "sigmoid")
    if told == "binary":
        raise SavedModelError(f"--kind binary needs a single output, this model has {values}; leave --kind out")
    if ending == "softmax":
        if told == "multilabel":
            raise SavedModelError("--kind multilabel contradicts its softmax, which makes the scores share one whole")
        return Head("classify")
    if ending == "sigmoid":
        return Head(told or "multilabel")
    return Head("multilabel", "sigmoid") if told == "multilabel" else Head("classify", "softmax")


def _expected_labels(values: int) -> int:
    return _TWO if values == 1 else values


def _lines(values: int) -> str:
    if values == 1:
        return "2 lines (first the name for scores near 0, then that for scores near 1)"
    return f"{values} lines, one per output and in their order,"
