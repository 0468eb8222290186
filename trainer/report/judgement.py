"""Numbers behind the page, computed from truth and answers; no I/O, no words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.evaluate import wilson_interval

if TYPE_CHECKING:
    import numpy.typing as npt

    from edge.model_card import ModelCard
    from trainer.report.content import Answers, ReportData

    Bools = npt.NDArray[np.bool_]
    Floats = npt.NDArray[np.float64]

BINS = 10
_INT8_STEP = 1 / 256


@dataclass(frozen=True, slots=True)
class Share:
    """``hits`` of ``total``, with the 95 % interval (Wilson) of the share behind it."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """0…1; 0 of 0 is 0."""
        return self.hits / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end, 0…1."""
        return wilson_interval(self.hits, self.total)


@dataclass(frozen=True, slots=True)
class ClassResult:
    """One class: of its pictures, how many were found; of the answers that named it, how many were right."""

    index: int
    label: str
    found: Share
    right_when_said: Share


@dataclass(frozen=True, slots=True)
class Confusion:
    """Pictures of one class that were taken for another; ``of`` is how many pictures the class has."""

    truth: int
    said: int
    count: int
    of: int


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose score lies in one tenth of 0…1: the mean score, and the share of them that is right."""

    score: float
    right: Share


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that the page and its verdict say in numbers.

    Attributes:
        right: pictures whose labels are all right.
        baseline: the share that always giving the most frequent answer would get right; 0 where all are of one class.
        classes: in the order of the labels; those that neither a picture nor an answer names are left out.
        confusions: the most frequent first; for ``multilabel``, of pictures of ``truth`` ``said`` was said wrongly.
        matrix: ``(classes, classes) int`` truth by answer, over ``classes``; ``None`` for ``multilabel``.
        unseen: labels without any picture.
        wrong_pictures, uncertain_pictures: indices, the most telling first.
    """

    right: Share
    baseline: float
    classes: tuple[ClassResult, ...]
    confusions: tuple[Confusion, ...]
    matrix: npt.NDArray[np.int64] | None
    unseen: tuple[str, ...]
    wrong_pictures: tuple[int, ...]
    uncertain_pictures: tuple[int, ...]


def judge(data: ReportData) -> Judgement:
    """Compare what the file said with the truth."""
    truth, said, scores = data.truth, data.answers.said, data.answers.scores
    right = right_rows(truth, said)
    _, counts = np.unique(truth, axis=0, return_counts=True)
    classes = tuple(
        ClassResult(
            index,
            label,
            Share(int((truth[:, index] & said[:, index]).sum()), int(truth[:, index].sum())),
            Share(int((truth[:, index] & said[:, index]).sum()), int(said[:, index].sum())),
        )
        for index, label in enumerate(data.card.labels)
        if truth[:, index].any() or said[:, index].any()
    )
    single = data.card.kind != "multilabel"
    matrix = _matrix(truth, said, [each.index for each in classes]) if single else None
    wrong = np.flatnonzero(~right)
    boldness = _boldness(truth, said, scores)
    doubt = _doubt(scores, said, single=single)
    return Judgement(
        right=Share(int(right.sum()), len(right)),
        baseline=float(counts.max() / len(truth)) if len(counts) > 1 else 0.0,
        classes=classes,
        confusions=_confusions(truth, said),
        matrix=matrix,
        unseen=tuple(label for index, label in enumerate(data.card.labels) if not truth[:, index].any()),
        wrong_pictures=tuple(int(i) for i in wrong[np.argsort(-boldness[wrong], kind="stable")]),
        uncertain_pictures=tuple(int(i) for i in np.argsort(-doubt, kind="stable")),
    )


def right_rows(truth: Bools, said: Bools) -> Bools:
    """``(n,)``, whether all labels of a picture are right."""
    return np.asarray((truth == said).all(axis=1))


def agreement(first: Answers, second: Answers) -> Share:
    """Pictures to which both say the same."""
    same = right_rows(first.said, second.said)
    return Share(int(same.sum()), len(same))


def _matrix(truth: Bools, said: Bools, shown: list[int]) -> npt.NDArray[np.int64]:
    return np.asarray(truth[:, shown].astype(np.int64).T @ said[:, shown].astype(np.int64))


def _confusions(truth: Bools, said: Bools) -> tuple[Confusion, ...]:
    counts = truth.astype(np.int64).T @ (said & ~truth).astype(np.int64)
    totals = truth.sum(axis=0)
    found = [Confusion(int(a), int(b), int(counts[a, b]), int(totals[a])) for a, b in np.argwhere(counts) if a != b]
    return tuple(sorted(found, key=lambda each: (-each.count, -each.count / each.of, each.truth, each.said)))


def _boldness(truth: Bools, said: Bools, scores: Floats) -> Floats:
    """How sure a wrong answer was, ``(n,)``: the score of a wrong label, or the doubt in a missing one."""
    wrongly = np.where(said & ~truth, scores, 0.0).max(axis=1)
    missed = np.where(truth & ~said, 1.0 - scores, 0.0).max(axis=1)
    return np.asarray(np.where(wrongly > 0, wrongly, missed))


def _doubt(scores: Floats, said: Bools, *, single: bool) -> Floats:
    """``(n,)``, larger where another answer was nearer."""
    if not single:
        return np.asarray(-np.abs(scores - 0.5).min(axis=1))
    given = np.where(said, scores, -np.inf).max(axis=1)
    other = np.where(said, -np.inf, scores).max(axis=1)
    return np.asarray(-np.abs(given - other))


def claims(card: ModelCard, truth: Bools, scores: Floats, said: Bools) -> tuple[Floats, Bools]:
    """Scores and whether what they claim is so: the given answer's per picture, or every label's for ``multilabel``."""
    if card.kind == "multilabel":
        return scores.ravel(), truth.ravel()
    chosen = said.argmax(axis=1)
    rows = np.arange(len(scores))
    return scores[rows, chosen], truth[rows, chosen]


def reliability(scores: Floats, right: Bools) -> list[Bin]:
    """The ten bins of a reliability curve; empty ones are left out."""
    bins = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    return [
        Bin(float(scores[bins == index].mean()), Share(int(right[bins == index].sum()), int((bins == index).sum())))
        for index in range(BINS)
        if (bins == index).any()
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Expected calibration error, 0…1: how far score and share of right answers are apart, weighted by answers."""
    total = sum(each.right.total for each in bins)
    return sum(each.right.total * abs(each.score - each.right.value) for each in bins) / max(1, total)


def uncalibrated(card: ModelCard, scores: Floats) -> Floats:
    """What the scores were before the calibration's temperature ``T`` was folded in.

    ``softmax(z / T)`` is known up to a constant by its logarithm, so ``softmax(T · log p)`` undoes it; a sigmoid's
    logit likewise.
    """
    if card.temperature == 1.0:
        return scores
    # A score of 0 stands for one too small to be said: below the smallest seen, and below the step of an int8 score.
    floor = min(float(scores[scores > 0].min(initial=1.0)), _INT8_STEP) / 2
    p = np.clip(scores, floor, 1 - 1e-9)
    if card.kind in {"binary", "multilabel"}:
        p = np.clip(p, floor, 1 - floor)
        return np.asarray(1 / (1 + (1 / p - 1) ** card.temperature))
    powered = (p / p.max(axis=1, keepdims=True)) ** card.temperature
    return np.asarray(powered / powered.sum(axis=1, keepdims=True))
