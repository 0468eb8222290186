"""The report: true numbers, clear words, and a page that stands alone whatever the labels are called."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import tiny_model

from edge.model_card import InputSpec, Kind, ModelCard
from trainer.calibrate import expected_calibration_error, softmax
from trainer.errors import DataError
from trainer.findings import Finding
from trainer.recipe_file import toml_text
from trainer.report import Answers, Epoch, ReportData, Unknown, render_report, top_answers, write_report
from trainer.report.deploy import deployment
from trainer.report.folder import read_labelled
from trainer.report.judgement import calibration_error, claims, judge, reliability, uncalibrated
from trainer.report.measure import said_by
from trainer.report.svg import nice_ticks
from trainer.report.thumbnails import data_uri
from trainer.report.verdict import Verdict, reach_verdict
from trainer.report.wording import of_100, percent, score

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


# -- words


def verdict_of(data: ReportData) -> Verdict:
    return reach_verdict(data, judge(data))


def test_the_headline_says_how_many_are_right() -> None:
    def headline(right: int, total: int) -> str:
        said = [0] * right + [1] * (total - right)
        return str(verdict_of(report([0] * total, np.eye(2)[said])).headline)

    assert headline(35, 35) == "Right in all 35 pictures"
    assert headline(33, 35) == "Right in 33 of 35 pictures"
    assert headline(837, 1000) == "Right in 84 of 100 pictures"
    assert headline(999, 1000) == "Right in 99 of 100 pictures"
    assert headline(1, 1) == "Right in the one picture it was asked"
    assert headline(0, 1) == "Wrong in the one picture it was asked"


def test_the_verdict_names_what_is_confused_most() -> None:
    verdict = verdict_of(report([0] * 10 + [1] * 10, np.eye(2)[[0] * 6 + [1] * 14]))
    assert verdict.confusions == "Most often it takes “open” for “shut” (4 of 10)."
    assert any("“open” and “shut” apart" in advice.what for advice in verdict.advice)


def test_a_model_that_always_says_the_commonest_answer_is_no_better_than_guessing() -> None:
    verdict = verdict_of(report([0] * 90 + [1] * 10, np.eye(2)[[0] * 100]))
    assert verdict.grade == "useless"


def test_pictures_that_were_not_held_out_are_not_called_so() -> None:
    data = random_report(3, 50)
    assert "not learnt from" in verdict_of(data).meaning
    assert "not learnt from" not in verdict_of(replace(data, held_out=False)).meaning


def test_advice_follows_from_what_is_wrong() -> None:
    def advice(data: ReportData) -> str:
        return " | ".join(f"{each.what}: {each.why}" for each in verdict_of(data).advice)

    fine = report([0, 1] * 200, np.eye(2)[[0, 1] * 200] * 0.98 + 0.01)
    assert "Try it on the device" in advice(fine)
    assert "more pictures" in advice(report([0, 1] * 10, np.eye(2)[[0, 1] * 10]))
    sure_and_wrong = report([0, 1] * 100, np.eye(2)[[0, 1] * 99 + [1, 1]])
    assert "worst mistakes" in advice(sure_and_wrong)
    drifted = replace(fine, float_answers=fine.answers, answers=Answers(
        fine.answers.scores, top_answers(np.eye(2)[[0, 1] * 190 + [1, 0] * 10]), 1, 1))  # fmt: skip
    assert "Quantize more gently" in advice(drifted)
    loose = report([0] * 120 + [1] * 80, np.tile([0.99, 0.01], (200, 1)))
    assert "literally" in advice(loose)
    unseen = report([0] * 100, np.eye(3)[[0] * 100], ("a", "b", "c"))
    assert "no pictures of b and c" in advice(unseen)
    audited = replace(fine, findings=(Finding("error", "copies", "half are copies", "remove the copies."),))
    assert "Remove the copies: half are copies" in advice(audited)


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (1, "100 %"), (0.999, "99.9 %"), (0.99999, "99.9 %"), (0.0004, "0.1 %"), (0.5, "50 %")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(share: float, words: str) -> None:
    assert percent(share).replace("\u202f", " ") == words
    assert (of_100(share) == "100") == (share == 1)
    assert (of_100(share) == "0") == (share == 0)


def test_a_score_just_below_one_does_not_say_one() -> None:
    assert [score(value) for value in (0.5, 0.994, 0.996, 1.0)] == ["0.50", "0.99", "0.99+", "1.00"]


def test_the_recipe_is_toml_that_can_be_read_again() -> None:
    recipe = {
        "seed": 1,
        "backbone": {"name": 'a"b', "alpha": None},
        "head": {"blocks": [{"kind": "dense", "units": 3}]},
    }
    assert tomllib.loads(toml_text(recipe)) == {
        "seed": 1, "backbone": {"name": 'a"b'}, "head": {"blocks": [{"kind": "dense", "units": 3}]},
    }  # fmt: skip


@pytest.mark.parametrize("name", ["gate.tflite", "my gate's.tflite", "$(reboot).tflite", "門.tflite", "-rf.tflite"])
def test_commands_name_the_real_file_and_survive_a_shell(name: str, tmp_path: Path) -> None:
    import shlex

    steps = deployment(tmp_path / name, card(("a", "b")))
    commands = [shlex.split(step.text) for step in steps[:3]]
    assert commands[0] == ["sightpost", "classify", "PICTURE", "--model", str(tmp_path / name)]
    assert commands[1] == ["scp", str(tmp_path / name), "DEVICE:"]
    assert name in commands[2][-2]
    configuration = tomllib.loads(steps[3].text)
    (key, model), (watch, asked) = *configuration["models"].items(), *configuration["watches"].items()
    assert re.fullmatch(r"[A-Za-z0-9_-]+", key)
    assert model["file"] == f"models/{name}"
    assert (watch, asked["model"]) == (key, key)


# -- pictures and files


def test_pictures_are_shown_small_and_upright(tmp_path: Path) -> None:
    import base64

    wide = np.zeros((300, 900, 3), np.uint8)
    wide[:, :450] = 255
    jpeg = cv2.imencode(".jpg", wide)[1].tobytes()
    quarter_turn = (
        b"\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06"
        + bytes(6)
    )
    (tmp_path / "turned.jpg").write_bytes(jpeg[:2] + quarter_turn + jpeg[2:])
    head, _, body = data_uri(tmp_path / "turned.jpg").partition(",")
    assert head == "data:image/jpeg;base64"
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(body), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape[:2] == (320, 107)
    assert shown[:100].mean() > 200
    assert shown[-100:].mean() < 50


def test_a_picture_that_has_gone_leaves_a_gap(tmp_path: Path) -> None:
    assert data_uri(tmp_path / "gone.jpg") == ""
    assert "can no longer be read" in Page(render_report(random_report(2, 5))).text


def test_pictures_of_the_page_say_what_they_are_without_being_seen(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.jpg"), np.zeros((20, 30, 3), np.uint8))
    page = Page(render_report(report([0], [[0.2, 0.8]], root=tmp_path)))
    alts = [attributes["alt"] for tag, attributes in page.elements if tag == "img"]
    assert alts == ["Picture of open, answered shut"]
    drawings = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert drawings
    assert all(each.get("aria-label") or each.get("aria-hidden") == "true" for each in drawings)


def test_the_pictures_of_a_finding_are_shown(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "copy.png"), np.zeros((20, 30, 3), np.uint8))
    finding = Finding("warning", "copies", "copies", "", paths=(tmp_path / "copy.png", tmp_path / "gone.png"))
    page = Page(render_report(random_report(2, 5, root=tmp_path, findings=(finding,))))
    assert [attributes["alt"] for tag, attributes in page.elements if tag == "img"] == ["copy.png"]


def test_a_report_replaces_the_old_one_only_when_it_is_complete(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_report(page, random_report(2, 5))
    first = page.read_text()
    write_report(page, random_report(3, 5))
    assert page.read_text() != first
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(DataError, match="cannot write"):
        write_report(tmp_path / "nowhere" / "page.html", random_report(2, 5))
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot write"):
        write_report(tmp_path / "folder", random_report(2, 5))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "page.html"]


def folder_of(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_folders_are_matched_with_the_models_labels(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Café")
    root = folder_of(
        tmp_path, "shut/1.jpg", f"{decomposed}/in/2.PNG", "other/3.jpg", ".git/4.jpg", "shut/.5.jpg", "shut/notes.txt"
    )
    found = read_labelled(root, ("Café", "open", "shut"), multilabel=False)
    assert [(path.name, labels) for path, labels in zip(found.pictures, found.labels, strict=True)] == [
        ("2.PNG", (0,)),
        ("1.jpg", (2,)),
    ]
    assert found.unknown == {"other": 1}


def test_a_joined_folder_is_several_labels_only_for_a_multilabel_model(tmp_path: Path) -> None:
    root = folder_of(tmp_path, "car+person/1.jpg", "car/2.jpg")
    assert read_labelled(root, ("car", "person"), multilabel=True).labels == ((0,), (0, 1))
    assert read_labelled(root, ("car", "person"), multilabel=False).unknown == {"car+person": 1}
    assert read_labelled(root, ("car", "car+person"), multilabel=False).labels == ((0,), (1,))


def test_a_csv_file_names_the_labels_too(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label\n1.jpg,car|person\n2.jpg,car\n3.jpg,dog\n4.jpg,\n")
    found = read_labelled(tmp_path / "list.csv", ("car", "person"), multilabel=True)
    assert found.labels == ((0, 1), (0,), ())
    assert found.unknown == {"dog": 1}


@pytest.mark.parametrize(
    ("files", "labels", "words"),
    [
        (["tulips/1.jpg"], ("open", "shut"), ["none of its 1 folders with pictures (tulips)", "open and shut"]),
        (["train/open/1.jpg", "test/open/2.jpg"], ("open", "shut"), ["give one of these", "train"]),
        (["open/1.jpg"], ("open", "open"), ["2 labels of this name", "--labels"]),
        (["open/readme.txt"], ("open", "shut"), ["no pictures"]),
        ([], ("open", "shut"), ["no class folders"]),
    ],
)
def test_a_folder_that_cannot_be_judged_says_why(
    tmp_path: Path, files: list[str], labels: tuple[str, ...], words: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        read_labelled(folder_of(tmp_path, *files), labels, multilabel=False)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_class_folder_itself_points_at_the_folder_above(tmp_path: Path) -> None:
    folder_of(tmp_path, "open/1.jpg")
    with pytest.raises(DataError, match=re.escape(f"give the folder above it, {tmp_path}")):
        read_labelled(tmp_path / "open", ("open", "shut"), multilabel=False)


def test_a_model_of_the_tests_has_what_a_report_needs() -> None:
    assert "gate" in render_report(replace(random_report(3, 9), card=tiny_model(name="gate").card))
