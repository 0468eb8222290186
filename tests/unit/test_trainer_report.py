"""The report: true numbers, clear words, and a page that stands alone whatever the labels are called."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import HOSTILE, PAGES, Page, card, full_report, random_report, report

from edge.model_card import ModelCard
from trainer.calibrate import expected_calibration_error, softmax
from trainer.findings import Finding
from trainer.report import Answers, Epoch, Unknown, render_report, write_report
from trainer.report.judgement import calibration_error, claims, judge, reliability, uncalibrated
from trainer.report.measure import said_by
from trainer.report.svg import nice_ticks


@pytest.mark.parametrize("kind", PAGES)
def test_every_kind_of_report_is_a_well_formed_page_that_needs_nothing_else(kind: str) -> None:
    text = render_report(PAGES[kind]())
    page = Page(text)
    assert page.count("h1") == 1
    assert not page.count("script")
    assert not re.search(r"https?:|@import|url\(|nan\b|None", text)
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert attributes.get("src", "data:").startswith("data:")
        assert "href" not in attributes
    references = [attributes.get("aria-labelledby") for tag, attributes in page.elements if tag == "section"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(references) == set(ids)


def test_whatever_the_labels_are_called_they_are_only_text(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = random_report(len(HOSTILE), 60, labels=HOSTILE, root=tmp_path)
    data = replace(
        data,
        file=tmp_path / "a <b>$(reboot) 'x'.tflite",
        card=replace_card(data.card, name=HOSTILE[0]),
        pictures=tuple(tmp_path / f"<i>{name}</i>\udcfe.jpg" for name in rng.permutation(60)),
        findings=(Finding("error", "x", HOSTILE[1], HOSTILE[2], (tmp_path / HOSTILE[0],), HOSTILE),),
        notes=HOSTILE,
        history=tuple(Epoch(label, 1.0) for label in HOSTILE),
        recipe=HOSTILE[3],
        unknown=Unknown(HOSTILE[1], data.answers.scores.max(axis=1) + 3, 3.5),
    )
    write_report(tmp_path / "page.html", data)
    text = (tmp_path / "page.html").read_bytes().decode("utf-8")
    page = Page(text)
    plain = Page(render_report(random_report(len(HOSTILE), 60)))
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in plain.elements} | {"img", "pre", "code", "ul"}
    assert not page.count("script")
    assert not page.count("i") - plain.count("i") - 1  # "unknown" in one more sentence
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "\x00" not in text
    assert "\x1b" not in text
    for label in (*HOSTILE[:4], HOSTILE[7]):
        assert label in page.text
    assert "(no name)" in page.text


def replace_card(of_it: ModelCard, **changes: object) -> ModelCard:
    from msgspec.structs import replace as replaced

    return replaced(of_it, **changes)


def test_the_same_data_gives_the_same_page() -> None:
    assert render_report(full_report()) == render_report(full_report())


def test_the_page_holds_all_that_it_was_given() -> None:
    text = Page(render_report(full_report())).text
    for words in ("two copies", "Remove one.", "4.jpg ≈ x.jpg", "and 2 more", "all of one camera", "a note",
                  'name = "mobilenetv2"', "abc123", "3.15",
                  "fine-tune", "distance", "1.6\u202fMB", "scp gate.tflite DEVICE:", "2026-11-23 16:00"):  # fmt: skip
        assert words in text


# -- numbers


def test_counts_shares_and_confusions_are_those_of_the_pictures() -> None:
    labels = ("a", "b", "c", "never")
    truth = [0, 0, 0, 1, 1, 1, 1, 2]
    said = [0, 0, 1, 1, 0, 0, 2, 2]
    judgement = judge(report(truth, np.eye(4)[said] * 0.9, labels))
    assert (judgement.right.hits, judgement.right.total) == (4, 8)
    assert judgement.baseline == 0.5
    assert [each.label for each in judgement.classes] == ["a", "b", "c"]
    assert judgement.unseen == ("never",)
    assert judgement.matrix is not None
    assert judgement.matrix.tolist() == [[2, 1, 0], [2, 1, 1], [0, 0, 1]]
    b = judgement.classes[1]
    assert (b.found.hits, b.found.total, b.right_when_said.hits, b.right_when_said.total) == (1, 4, 1, 2)
    first = judgement.confusions[0]
    assert (first.truth, first.said, first.count, first.of) == (1, 0, 2, 4)


def test_the_surest_mistake_and_the_closest_answer_come_first() -> None:
    scores = [[0.9, 0.1], [0.55, 0.45], [0.8, 0.2], [0.3, 0.7], [0.51, 0.49]]
    judgement = judge(report([0, 1, 1, 1, 0], scores))
    assert judgement.wrong_pictures == (2, 1)
    assert judgement.uncertain_pictures[:2] == (4, 1)


def test_a_multilabel_picture_is_right_only_if_all_its_labels_are() -> None:
    labels = ("car", "person")
    truth = np.array([[True, True], [True, False], [False, False], [False, True]])
    scores = np.array([[0.9, 0.8], [0.9, 0.7], [0.2, 0.1], [0.1, 0.2]])
    of_it = card(labels, kind="multilabel")
    data = replace(
        report([0] * 4, scores), card=of_it, truth=truth, answers=Answers(scores, said_by(of_it, scores), 1, 1)
    )
    judgement = judge(data)
    assert (judgement.right.hits, judgement.right.total) == (2, 4)
    assert judgement.matrix is None
    assert judgement.wrong_pictures == (3, 1)  # person missed at 0.2, person said at 0.7
    person = judgement.classes[1]
    assert (person.found.hits, person.found.total, person.right_when_said.total) == (1, 2, 2)


def test_thresholds_of_the_card_decide_what_is_said() -> None:
    scores = np.array([[0.65, 0.35]])
    assert said_by(card(("no", "yes"), kind="binary"), scores).tolist() == [[True, False]]
    assert said_by(card(("no", "yes"), kind="binary", thresholds={"yes": 0.3}), scores).tolist() == [[False, True]]
    assert said_by(card(("a", "b"), kind="multilabel", thresholds={"b": 0.3}), scores).tolist() == [[True, True]]


@given(st.integers(2, 6), st.integers(1, 200), st.integers(0, 99))
def test_the_calibration_error_is_the_trainers(classes: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = softmax(rng.normal(0, 2, (count, classes)).astype(np.float32))
    truth = rng.integers(0, classes, count)
    data = report(list(truth), scores, tuple("abcdef"[:classes]))
    bins = reliability(*claims(data.card, data.truth, scores, data.answers.said))
    assert calibration_error(bins) == pytest.approx(expected_calibration_error(scores, truth), abs=1e-9)


def test_scores_before_calibration_are_recovered_from_the_temperature() -> None:
    logits = np.random.default_rng(2).normal(0, 2, (50, 4)).astype(np.float32)
    calibrated = softmax(logits / 1.7)
    assert uncalibrated(card(tuple("abcd"), temperature=1.7), calibrated) == pytest.approx(softmax(logits), abs=1e-6)
    p = 1 / (1 + np.exp(-logits[:, :1] / 1.7))
    both = np.hstack([1 - p, p])
    before = uncalibrated(card(("no", "yes"), kind="binary", temperature=1.7), both)
    assert before[:, 1] == pytest.approx(1 / (1 + np.exp(-logits[:, 0].astype(np.float64))), abs=1e-4)
    certain = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert uncalibrated(card(("a", "b"), temperature=2.0), certain) == pytest.approx(certain, abs=1e-4)


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    data = random_report(3, 10)
    with pytest.raises(ValueError, match=r"\(10, 3\)"):
        replace(data, truth=data.truth[:9])
    with pytest.raises(ValueError, match="unknown"):
        replace(data, unknown=Unknown("score", np.zeros(9), 0.5))


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_and_cover_the_values(low: float, span: float) -> None:
    ticks = nice_ticks(low, low + span)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low + span * 1e-3
    assert ticks[-1] >= low + span * (1 - 1e-3)
