"""Reports to look at: of every kind, with everything on them, and with hostile names."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.model_card import InputSpec, Kind, ModelCard
from trainer.calibrate import softmax
from trainer.findings import Finding
from trainer.report import Answers, Epoch, ReportData, Unknown, top_answers
from trainer.report.measure import said_by

VOID = {"br", "img", "meta", "link", "input", "hr"}
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "</style></svg></title><b>",
    "\u202egnp.exe \u0645\u0641\u062a\u0648\u062d",
    "nul\x00 esc\x1b[31m lone \udcff",
    "   ",
    "門が開いている 🚪",
)


class Page(HTMLParser):
    """Reads a page strictly: what is opened is closed, in order. Collects elements, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute is there twice in <{tag}>: {names}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def card(labels: tuple[str, ...], *, kind: Kind = "classify", **more: object) -> ModelCard:
    spec = InputSpec(height_px=96, width_px=96, scaling="raw")
    return ModelCard(name="gate", version="1", kind=kind, input=spec, labels=labels, **more)


def report(
    truth: list[int],
    scores: npt.ArrayLike,
    labels: tuple[str, ...] = ("open", "shut"),
    root: Path = Path("pictures"),
    **more: object,
) -> ReportData:
    """A report of ``classify`` answers; the picture files need not exist."""
    table = np.asarray(scores, dtype=np.float64)
    files = tuple(root / f"{number}.jpg" for number in range(len(truth)))
    wanted = np.eye(len(labels), dtype=np.bool_)[truth]
    answers = Answers(table, top_answers(table), 1.5, 600_000)
    given: dict[str, Any] = {"card": card(labels), "held_out": True, "root": root, "file": Path("gate.tflite")}
    return ReportData(pictures=files, truth=wanted, answers=answers, **(given | more))


def random_report(classes: int, pictures: int, *, labels: tuple[str, ...] = (), **more: object) -> ReportData:
    rng = np.random.default_rng(classes + pictures)
    labels = labels or tuple(f"class {number}" for number in range(classes))
    truth = rng.integers(0, classes, pictures)
    logits = rng.normal(0, 1, (pictures, classes)) + 2.5 * np.eye(classes)[truth]
    return report(list(truth), softmax(logits.astype(np.float32)), labels, **more)


def multilabel_report() -> ReportData:
    rng = np.random.default_rng(4)
    truth = rng.random((40, 3)) < 0.4
    scores = np.clip(truth * 0.6 + rng.random((40, 3)) * 0.5, 0, 1)
    labels = ("car", "person", "dog")
    of_it = card(labels, kind="multilabel", thresholds={"car": 0.6}, temperature=1.4)
    said = said_by(of_it, scores)
    data = random_report(3, 40, labels=labels)
    return replace(data, card=of_it, truth=truth, answers=Answers(scores, said, 2.0, 700_000))


def full_report(labels: tuple[str, ...] = ("open", "shut", "ajar")) -> ReportData:
    """With everything that there can be."""
    data = random_report(len(labels), 80, labels=labels)
    scores = data.answers.scores
    history = tuple(Epoch("head", 1 / (n + 1), 1.2 / (n + 1), n / 12) for n in range(9))
    provenance = {"versions": {"keras": "3.15"}, "data": {"fingerprint": "abc123", "trained_on": 300}}
    return replace(
        data,
        card=card(labels, temperature=1.3, provenance=provenance),
        float_answers=Answers(scores[:, ::-1], top_answers(scores[:, ::-1]), 3.0, 1_600_000),
        unknown=Unknown("distance", 30 * (1 - scores.max(axis=1)), 12.0, "above"),
        history=(*history, Epoch("fine-tune", 0.05), Epoch("fine-tune", float("nan"), 0.3, 0.8)),
        findings=(
            Finding(
                "error", "copies", "two copies", "Remove one.", examples=tuple(f"{n}.jpg ≈ x.jpg" for n in range(7))
            ),
            Finding("info", "camera", "all of one camera", ""),
        ),
        notes=("a note",),
        recipe='[backbone]\nname = "mobilenetv2"\n',
        made_at="2026-11-23 16:00",
    )


PAGES = {
    "two classes": lambda: random_report(2, 30),
    "everything": full_report,
    "a hundred classes": lambda: random_report(100, 700),
    "two hundred classes": lambda: random_report(200, 900),
    "twenty classes": lambda: random_report(20, 100),
    "one picture, right": lambda: report([0], [[0.9, 0.1]]),
    "one picture, wrong": lambda: report([1], [[0.9, 0.1]]),
    "all right and sure": lambda: report(
        [0, 1] * 20, [[1, 0], [0, 1]] * 20, card=card(("open", "shut"), temperature=2.0)
    ),
    "all wrong": lambda: report([1, 0] * 20, [[1, 0], [0, 1]] * 20),
    "binary": lambda: report([0, 1, 1], [[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]], card=card(("no", "yes"), kind="binary")),
    "multilabel": multilabel_report,
    "one class of many": lambda: report([2, 2], np.eye(40)[[2, 3]], tuple(f"c{n}" for n in range(40))),
}
