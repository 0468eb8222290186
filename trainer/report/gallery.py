"""The pictures on the page, with what is said about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.report import wording
from trainer.report.thumbnails import data_uri

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from trainer.findings import Finding
    from trainer.report.content import ReportData
    from trainer.report.judgement import Judgement

_SHOWN_PICTURES = 12
_STRIP = 6


@dataclass(frozen=True, slots=True)
class Card:
    """A picture on the page, and what was said of it."""

    uri: str
    file: str
    right: bool
    said: tuple[tuple[str, str], ...]
    truth: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that a finding is about."""

    uri: str
    file: str


def of_pictures(data: ReportData, judgement: Judgement) -> dict[str, list[Card]]:
    """The ``worst`` mistakes, and the most ``uncertain`` of the others."""
    worst = judgement.wrong_pictures[:_SHOWN_PICTURES]
    doubtful = [index for index in judgement.uncertain_pictures if index not in worst][:_SHOWN_PICTURES]
    return {
        "worst": [_card(data, index) for index in worst],
        "uncertain": [_card(data, index) for index in doubtful],
    }


def _card(data: ReportData, index: int) -> Card:
    path = data.pictures[index]
    truth, said, scores = data.truth[index], data.answers.said[index], data.answers.scores[index]

    def told(chosen: npt.NDArray[np.bool_]) -> tuple[tuple[str, str], ...]:
        order = sorted(np.flatnonzero(chosen), key=lambda label: -scores[label])
        return tuple((wording.name(data.card.labels[label]), wording.score(float(scores[label]))) for label in order)

    return Card(data_uri(path), _relative(path, data.root), bool((truth == said).all()), told(said), told(truth))


def _relative(path: Path, root: Path) -> str:
    """The name of a picture as its owner would say it."""
    base = root.parent if root.is_file() else root
    return str(path.relative_to(base) if path.is_relative_to(base) else path)


def of_findings(data: ReportData) -> list[tuple[Finding, list[Shown]]]:
    """Each finding with the first of its pictures."""
    return [
        (
            finding,
            [Shown(uri, _relative(path, data.root)) for path in finding.paths[:_STRIP] if (uri := data_uri(path))],
        )
        for finding in data.findings
    ]
