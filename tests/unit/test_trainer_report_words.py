"""The words and pictures of a report: verdict, advice, figures, thumbnails, and the folder that it judges."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from models import tiny_model
from reports import Page, card, random_report, report

from trainer.errors import DataError
from trainer.findings import Finding
from trainer.recipe_file import toml_text
from trainer.report import Answers, ReportData, render_report, top_answers, write_report
from trainer.report.deploy import deployment
from trainer.report.folder import read_labelled
from trainer.report.judgement import judge
from trainer.report.thumbnails import data_uri
from trainer.report.verdict import Verdict, reach_verdict
from trainer.report.wording import of_100, percent, score

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


def test_of_several_labels_one_is_to_be_shown_without_the_other_and_no_folders_are_joined() -> None:
    scores = np.array([[0.9, 0.8]] * 4 + [[0.9, 0.1]] * 6 + [[0.1, 0.9]] * 10)
    several = report([0] * 10 + [1] * 10, scores, card=card(("car", "person"), kind="multilabel"))
    found = replace(several, answers=replace(several.answers, said=scores >= 0.5))
    advice = next(each for each in verdict_of(found).advice if "without" in each.what)
    assert (advice.what, advice.why.split(".")[0]) == (
        "Show it “car” without “person”",
        "In 10 pictures of “car” it saw “person” 4 times where there was none",
    )
    assert not any("folder" in each.why and "join" in each.why for each in verdict_of(found).advice)


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
