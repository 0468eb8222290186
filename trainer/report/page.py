"""The page itself: what the template is given, and the durable write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np

from edge.durable import replace_file
from trainer.errors import DataError
from trainer.ladder import told
from trainer.report import charts, wording
from trainer.report.deploy import deployment
from trainer.report.gallery import of_findings, of_pictures
from trainer.report.judgement import (
    Share,
    agreement,
    calibration_error,
    claims,
    judge,
    reliability,
    right_rows,
    uncalibrated,
)
from trainer.report.verdict import reach_verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from markupsafe import Markup

    from trainer.report.content import Answers, ReportData
    from trainer.report.judgement import ClassResult, Judgement

_TABLE_CLASSES = 15
_DRAWN_CLASSES = 150
_LISTED_CONFUSIONS = 10
_HEAT_LEVELS = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the confusion table: its count, its share of the row, its shade and what it means."""

    count: int
    percent: str
    style: str
    meaning: str


def write_report(path: Path, data: ReportData) -> None:
    """Write the page durably; what stood there before stays until the new one is complete.

    Raises:
        DataError: the folder is missing or cannot be written.
    """
    try:
        replace_file(path, render_report(data).encode())
    except OSError as error:
        raise DataError(f"{path}: cannot write the report: {error.strerror or error}") from error


def render_report(data: ReportData) -> str:
    """The page as text; the same data gives the same page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("trainer.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: wording.clean(value) if type(value) is str else value,
    )
    environment.filters.update(
        {each.__name__: each for each in (wording.interval, wording.name, wording.names, wording.percent)}
    )
    judgement = judge(data)
    return environment.get_template("page.html").render(
        data=data,
        card=data.card,
        j=judgement,
        verdict=reach_verdict(data, judgement),
        key_figures=_key_figures(data, judgement),
        classes=_by_need(judgement),
        class_bar=charts.interval_bar,
        table=_confusion_table(judgement),
        heat=_confusion_drawing(judgement),
        confusions=judgement.confusions[:_LISTED_CONFUSIONS],
        **of_pictures(data, judgement),
        **_scores(data),
        training=charts.training_charts(data.history) if data.history else [],
        findings=of_findings(data),
        models=_models(data),
        climb=told(data.card.metrics.get("quantization", {})),
        same=agreement(data.answers, data.float_answers) if data.float_answers else None,
        deployment=deployment(data.file, data.card),
        facts=_facts(data),
    )


def _key_figures(data: ReportData, judgement: Judgement) -> list[tuple[str, str, str]]:
    """Name, value and remark of each."""
    figures = [("right", wording.percent(judgement.right.value), f"true share {wording.interval(judgement.right)}")]
    if data.float_answers:
        same = agreement(data.answers, data.float_answers)
        figures.append(("same answer as float", wording.percent(same.value), f"{same.hits} of {same.total}"))
    figures += [
        ("file", wording.size(data.answers.size_bytes), data.file.name),
        ("a picture takes", wording.milliseconds(data.answers.latency_ms), "one core of this machine"),
    ]
    if data.unknown:
        count = Share(int(data.unknown.unknown.sum()), len(data.pictures))
        figures.append(("called unknown", wording.percent(count.value), f"{count.hits} of {count.total}"))
    seen = len(data.card.labels) - len(judgement.unseen)
    figures.append(("judged on", f"{len(data.pictures):,}", f"pictures of {seen} class{'' if seen == 1 else 'es'}"))
    return figures


def _by_need(judgement: Judgement) -> list[ClassResult]:
    """Classes with pictures, the one that is found least first; then those that were only answered."""
    return sorted(judgement.classes, key=lambda each: (not each.found.total, each.found.value, each.index))


def _confusion_table(judgement: Judgement) -> list[tuple[ClassResult, list[Cell]]]:
    """Row by row, where the classes are few enough for a table; else empty."""
    matrix, classes = judgement.matrix, judgement.classes
    if matrix is None or len(classes) > _TABLE_CLASSES:
        return []
    rows = []
    for truth, row in zip(classes, matrix, strict=True):
        cells = []
        for said, count in zip(classes, map(int, row), strict=True):
            share = count / truth.found.total if truth.found.total else 0.0
            level = int(np.ceil(share * _HEAT_LEVELS))
            kind = "hit" if said is truth else "miss"
            meaning = (
                f"{count} of {truth.found.total} “{wording.name(truth.label)}” called “{wording.name(said.label)}”"
            )
            cells.append(Cell(count, wording.percent(share), f"{kind} heat{level}", meaning))
        rows.append((truth, cells))
    return rows


def _confusion_drawing(judgement: Judgement) -> Markup | None:
    if judgement.matrix is None or not _TABLE_CLASSES < len(judgement.classes) <= _DRAWN_CLASSES:
        return None
    return charts.confusion_heat(judgement.matrix, [each.label for each in judgement.classes])


def _scores(data: ReportData) -> dict[str, Any]:
    """Reliability and spread of the scores."""
    scores, right = claims(data.card, data.truth, data.answers.scores, data.answers.said)
    after = reliability(scores, right)
    before = None
    if data.card.temperature != 1.0:
        raw = uncalibrated(data.card, data.answers.scores)
        before = reliability(*claims(data.card, data.truth, raw, data.answers.said))
    many = data.card.kind == "multilabel"
    answers = ("right answers", "wrong answers")
    rule = data.unknown
    on_score_axis = rule is not None and rule.values.shape == scores.shape and np.allclose(rule.values, scores)
    own = None
    if rule is not None and not on_score_axis:
        right_pictures = right_rows(data.truth, data.answers.said)
        own = charts.score_histogram(rule.values, right_pictures, rows=answers, measure=rule.rule, unknown=rule)
    return {
        "reliability": charts.reliability_chart(
            after, before, share=f"share of {'labels that apply' if many else 'answers that are right'}"
        ),
        "error_after": calibration_error(after),
        "error_before": None if before is None else calibration_error(before),
        "histogram": charts.score_histogram(
            scores,
            right,
            rows=("labels that apply", "labels that do not") if many else answers,
            measure="score",
            unknown=rule if on_score_axis else None,
        ),
        "unknown_histogram": own,
        "unknown_split": _unknown_split(data),
    }


def _unknown_split(data: ReportData) -> tuple[Share, Share] | None:
    """How many of the wrong answers the rule turns into ``unknown``, and how many of the right ones."""
    if data.unknown is None:
        return None
    right, unknown = right_rows(data.truth, data.answers.said), data.unknown.unknown
    return (
        Share(int((unknown & ~right).sum()), int((~right).sum())),
        Share(int((unknown & right).sum()), int(right.sum())),
    )


def _models(data: ReportData) -> list[tuple[str, list[str]]]:
    """Rows of the table float beside file; empty without a float model."""
    if data.float_answers is None:
        return []
    both = (data.float_answers, data.answers)

    def row(what: str, value: Callable[[Answers], str]) -> tuple[str, list[str]]:
        return what, [value(answers) for answers in both]

    def right(answers: Answers) -> Share:
        rows = right_rows(data.truth, answers.said)
        return Share(int(rows.sum()), len(rows))

    def error(answers: Answers) -> str:
        return f"{calibration_error(reliability(*claims(data.card, data.truth, answers.scores, answers.said))):.3f}"

    return [
        row("right", lambda answers: f"{wording.percent(right(answers).value)} ({right(answers).hits:,})"),
        row("95 % interval", lambda answers: wording.interval(right(answers))),
        row("calibration error", error),
        row("size", lambda answers: wording.size(answers.size_bytes)),
        row("time of one answer", lambda answers: wording.milliseconds(answers.latency_ms)),
    ]


def _facts(data: ReportData) -> list[tuple[str, str]]:
    """What a person needs to make the same file again, or to know it from another."""
    card, provenance = data.card, data.card.provenance
    spec = card.input
    learnt = provenance.get("data", {})
    facts = [
        ("model", f"{card.name}, version {card.version}"),
        ("kind", card.kind),
        ("input", f"{spec.width_px} × {spec.height_px} px, {spec.color}, {spec.resize}, {spec.kernel}"),
        ("labels", str(len(card.labels))),
        ("temperature", f"{card.temperature:g}" if card.temperature != 1.0 else ""),
        ("quantization", str(card.metrics.get("quantization", {}).get("note", ""))),
        ("golden samples", f"{card.golden.count}, tolerance {card.golden.tolerance:g}" if card.golden else ""),
        ("trained on", wording.pictures(learnt["trained_on"]) if "trained_on" in learnt else ""),
        ("fingerprint of the pictures", str(learnt.get("fingerprint", ""))),
        ("python, machine", " ".join(str(provenance[key]) for key in ("python", "machine") if key in provenance)),
        *((str(package), str(version)) for package, version in provenance.get("versions", {}).items()),
        ("report made", data.made_at),
    ]
    return [(what, value) for what, value in facts if value]
