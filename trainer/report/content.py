"""What a report is made of: plain values, so that any model file and any judged pictures can be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from edge.model_card import ModelCard
    from trainer.findings import Finding


@dataclass(frozen=True, slots=True)
class Answers:
    """What one model said of the report's pictures; row ``i`` is picture ``i``.

    Attributes:
        scores: ``(n, classes) float64``, 0…1.
        said: ``(n, classes) bool``, the labels that it gives: one in each row, any number for ``multilabel``.
        latency_ms: median time of one answer, preprocessing included, on one core of this machine.
        size_bytes: of the file, or of the float model before quantization.
    """

    scores: npt.NDArray[np.float64]
    said: npt.NDArray[np.bool_]
    latency_ms: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the training's history; what was not measured is ``None``."""

    stage: str
    loss: float
    val_loss: float | None = None
    val_accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """The rule by which a device says ``unknown`` instead of a label.

    Attributes:
        rule: its name for people, e.g. ``highest score`` or ``distance to the nearest class``.
        values: ``(n,) float64``, what the rule measures on each picture of the report.
        threshold: where it lies.
        side: a picture is unknown when its value lies on this side of the threshold.
    """

    rule: str
    values: npt.NDArray[np.float64]
    threshold: float
    side: Literal["below", "above"] = "below"

    @property
    def unknown(self) -> npt.NDArray[np.bool_]:
        """``(n,)``, which pictures the rule calls unknown."""
        return np.asarray(self.values < self.threshold if self.side == "below" else self.values > self.threshold)


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything on the page.

    Attributes:
        file: the model file; commands on the page name it.
        card: its card; for a file without one, a card made up of what is known (name, kind, labels, input).
        root: the folder of the pictures, or the CSV file that lists them; names are shown relative to it.
        pictures: the judged picture files; those that the page shows are read from here.
        truth: ``(n, classes) bool``, which labels are right.
        answers: of the file, through the device's code.
        held_out: whether the model is known not to have learnt from these pictures.
        float_answers: of the float model before quantization, on the same pictures.
        unknown: the rule for ``unknown``, where there is one.
        history: of the training, in order.
        findings: of the audit.
        notes: what a reader has to know about the judged pictures, e.g. folders that were left out; shown at the top.
        recipe: as TOML.
        made_at: date and time for the foot of the page.
    """

    file: Path
    card: ModelCard
    root: Path
    pictures: tuple[Path, ...]
    truth: npt.NDArray[np.bool_]
    answers: Answers
    held_out: bool
    float_answers: Answers | None = None
    unknown: Unknown | None = None
    history: tuple[Epoch, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    recipe: str = ""
    made_at: str = ""

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together: a report about the wrong rows would look right."""
        shape = (len(self.pictures), len(self.card.labels))
        arrays = [self.truth, self.answers.scores, self.answers.said]
        if self.float_answers:
            arrays += [self.float_answers.scores, self.float_answers.said]
        if not self.pictures or any(array.shape != shape for array in arrays):
            raise ValueError(f"the arrays are not all {shape}: {[array.shape for array in arrays]}")
        if self.unknown and self.unknown.values.shape != shape[:1]:
            raise ValueError(f"unknown.values is {self.unknown.values.shape}, not {shape[:1]}")


def top_answers(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """One answer per picture, the highest score: ``(n, classes) bool`` for ``Answers.said``."""
    said = np.zeros(scores.shape, dtype=np.bool_)
    said[np.arange(len(scores)), scores.argmax(axis=1)] = True
    return said
