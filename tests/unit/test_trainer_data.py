"""Which pictures are learnt from, and what is refused before an hour of training is wasted on it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from noise import pictures

from trainer.data import DataSet, balanced, check_question, scan
from trainer.errors import DataError


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    pictures(tmp_path / "open", 20, 1)
    pictures(tmp_path / "shut", 10, 2)
    return tmp_path


def test_classes_are_the_folders_in_order(gate: Path) -> None:
    data = scan(gate)
    assert data.labels == ("open", "shut")
    assert data.counts() == {"open": 20, "shut": 10}
    assert data.rejected == ()


def test_an_unreadable_file_is_named_and_left_out(gate: Path) -> None:
    (gate / "open" / "broken.jpg").write_bytes(b"\xff\xd8 cut off")
    (gate / "open" / "notes.txt").write_text("mine")
    (gate / "shut" / ".DS_Store").write_text("hidden files are nobody's business")
    data = scan(gate)
    assert len(data.samples) == 30
    assert any("broken.jpg" in message for message in data.rejected)
    assert any("notes.txt" in message for message in data.rejected)
    assert len(data.rejected) == 2


@pytest.mark.parametrize("missing", ["nowhere", "file.txt"])
def test_what_is_no_folder_is_refused(tmp_path: Path, missing: str) -> None:
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(DataError, match=f"{missing}: is not a folder"):
        scan(tmp_path / missing)


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "open", 8)
    with pytest.raises(DataError, match="one class folder only, 'open'"):
        scan(tmp_path)


def test_no_class_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no class folders"):
        scan(tmp_path)


def test_an_empty_class_is_refused_by_name(gate: Path) -> None:
    (gate / "blocked").mkdir()
    with pytest.raises(DataError, match=r"blocked: the class 'blocked' is empty; add pictures or remove the folder"):
        scan(gate)


def test_a_class_of_unreadable_files_is_refused_and_says_why(gate: Path) -> None:
    (gate / "blocked").mkdir()
    (gate / "blocked" / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"no file of its 1 that can be read, the first: .*a\.jpg"):
        scan(gate)


def test_a_class_of_two_pictures_is_refused(gate: Path) -> None:
    pictures(gate / "blocked", 2)
    with pytest.raises(DataError, match="'blocked' has 2 readable pictures; at least 4 are needed"):
        scan(gate)


def test_names_may_be_long_and_in_any_script(tmp_path: Path) -> None:
    pictures(tmp_path / "Tor öffnet – 開", 5)
    pictures(tmp_path / ("lang" * 50), 5)
    data = scan(tmp_path)
    assert len(data.samples) == 10
    assert "Tor öffnet – 開" in data.labels


@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines", b" "])
def test_a_class_that_cannot_be_written_on_a_line_is_refused_before_the_training(gate: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(gate) + b"/" + name)).mkdir()
    with pytest.raises(DataError, match="cannot be read or printed; rename it") as caught:
        scan(gate)
    assert str(caught.value).isprintable()


def test_the_fingerprint_follows_content_and_names(gate: Path) -> None:
    before = scan(gate).fingerprint
    assert scan(gate).fingerprint == before
    (gate / "open" / "000.png").rename(gate / "open" / "zzz.png")
    assert scan(gate).fingerprint != before


def test_a_representative_set_gives_every_class_its_turn(gate: Path) -> None:
    data = scan(gate)
    chosen = balanced(range(30), data, 12, np.random.default_rng(0))
    labels = [data.samples[index].label for index in chosen]
    assert labels.count(0) == labels.count(1) == 6
    assert len(set(chosen)) == 12


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def named(data: DataSet) -> dict[str, tuple[str, ...]]:
    return {sample.path.name: tuple(data.labels[label] for label in sample.labels) for sample in data.samples}


def test_targets_are_zeros_and_ones(gate: Path) -> None:
    data = scan(gate)
    assert data.targets([0, 29]).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_the_parts_of_the_owner_are_folders(tmp_path: Path, name: str) -> None:
    for number, part in enumerate(("train", name, "test")):
        pictures(tmp_path / part / "open", 4, 2 * number)
        pictures(tmp_path / part / "shut", 4, 2 * number + 1)
    data = scan(tmp_path)
    assert data.labels == ("open", "shut")
    assert sorted({(sample.path.parent.parent.name, sample.part) for sample in data.samples}) == sorted(
        [("train", "train"), (name, "validation"), ("test", "test")]
    )


def test_classes_named_train_and_test_are_classes(tmp_path: Path) -> None:
    pictures(tmp_path / "train", 4, 1)
    pictures(tmp_path / "test", 4, 2)
    data = scan(tmp_path)
    assert data.labels == ("test", "train")
    assert {sample.part for sample in data.samples} == {None}


def test_two_folders_for_one_part_are_refused(tmp_path: Path) -> None:
    for part in ("train", "val", "valid"):
        pictures(tmp_path / part / "open", 1)
    with pytest.raises(DataError, match="two folders mean the same part"):
        scan(tmp_path)


def test_a_class_without_training_pictures_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "train" / "open", 4, 1)
    pictures(tmp_path / "train" / "shut", 4, 2)
    pictures(tmp_path / "test" / "ajar", 4, 3)
    with pytest.raises(DataError, match="'ajar' has no pictures in the part 'train'"):
        scan(tmp_path)


def test_a_joined_folder_name_means_both(tmp_path: Path) -> None:
    for seed, name in enumerate(("car", "person", "car+person")):
        pictures(tmp_path / name, 4, seed)
    data = scan(tmp_path)
    assert data.multilabel
    assert data.labels == ("car", "person")
    assert data.counts() == {"car": 8, "person": 8}


def test_a_plus_at_the_end_joins_nothing(tmp_path: Path) -> None:
    pictures(tmp_path / "A+", 4, 1)
    pictures(tmp_path / "C++", 4, 2)
    data = scan(tmp_path)
    assert data.labels == ("A+", "C++")
    assert not data.multilabel


def test_a_picture_in_two_folders_shows_both_only_if_the_set_is_multi_label(gate: Path) -> None:
    copy(gate / "open" / "000.png", gate / "shut" / "again.png")
    assert len(scan(gate).samples) == 31
    data = scan(gate, multilabel=True)
    assert len(data.samples) == 30
    assert data.samples[0].labels == (0, 1)
    assert len(data.survey.facts) == len(data.survey.clusters) == 30


def table(folder: Path, text: str, count: int = 12) -> Path:
    pictures(folder / "all", count)
    path = folder / "pictures.csv"
    path.write_text(text, encoding="utf-8")
    return path


def rows(labels: str, count: int = 12) -> str:
    return "".join(f"all/{i:03}.png,{labels[i % len(labels)]}\n" for i in range(count))


def test_a_csv_file_names_pictures_and_labels(tmp_path: Path) -> None:
    data = scan(table(tmp_path, "path,label\n" + rows("ab")))
    assert data.counts() == {"a": 6, "b": 6}
    assert not data.multilabel
    assert named(data)["001.png"] == ("b",)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_csv_file_may_come_from_a_spreadsheet(tmp_path: Path, separator: str) -> None:
    text = "\ufeffPath,Label\r\n" + rows("ab").replace("\n", "\r\n").replace("/", "\\")
    assert scan(table(tmp_path, text.replace(",", separator))).counts() == {"a": 6, "b": 6}


def test_a_csv_file_may_say_the_part(tmp_path: Path) -> None:
    text = "path,label,split\n" + "".join(
        f"all/{i:03}.png,{'ab'[i % 2]},{'train' if i < 8 else 'val' if i < 10 else ''}\n" for i in range(12)
    )
    parts = [sample.part for sample in scan(table(tmp_path, text)).samples]
    assert parts == ["train"] * 8 + ["validation"] * 2 + [None] * 2


@pytest.mark.parametrize(
    "text",
    [
        "path,labels\n" + rows("ab", 10) + "all/010.png,b|a\nall/011.png,\n",
        "path,label,label2\n" + rows("ab", 10) + "all/010.png,a,b\nall/011.png,,\n",
        "path,label\n" + rows("ab", 10) + "all/010.png,a\nall/010.png,b\nall/011.png,\n",
        "path,a,b\n"
        + "".join(f"all/{i:03}.png,{1 - i % 2},{i % 2}\n" for i in range(10))
        + "all/010.png,yes,x\nall/011.png,no,\n",
    ],
    ids=["separated", "columns", "rows", "ticks"],
)
def test_a_csv_file_may_give_several_labels_or_none(tmp_path: Path, text: str) -> None:
    data = scan(table(tmp_path, text))
    assert data.multilabel
    assert data.counts() == {"a": 6, "b": 6}
    assert named(data)["010.png"] == ("a", "b")
    assert named(data)["011.png"] == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; write a header"),
        ("all/000.png,a\n", "first line is a picture already"),
        ("path\nall/000.png\n", "header with two columns"),
        ("path,label\n" + rows("a"), "names 1 class; at least 2"),
        ("label,path\na,all/000.png\n", "its first column is 'label'; put the pictures' paths there"),
        ('path,label\n"all/000.png,a\nall/001.png,b\n', "no well-formed CSV"),
        ("path,label\nall/0\0.png,a\n", "holds NUL"),
        ('path,label\nall/000.png,"a\nb"\nall/001.png,c\n', "cannot be read or printed; rename it"),
        ("path,label,split\nall/000.png,a,mine\n", "line 2: the split 'mine' is none of"),
        ("path,car,van\nall/000.png,1,red\n", "line 2: 'red' under 'van' is neither 1 nor 0"),
        ("path,label\nall/000.png,a,b\n", "line 2: has 3 cells and the header 2"),
        ("path,label,split\nx.png,a,train\nx.png,b,test\n", "line 3: x.png is listed before with another split"),
    ],
)
def test_a_csv_file_that_makes_no_sense_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        scan(table(tmp_path, text))


def test_a_csv_file_of_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"path,label\n\xff\xfe,a\n")
    with pytest.raises(DataError, match="cannot be read as UTF-8"):
        scan(path)


def test_a_picture_that_a_csv_file_names_and_that_is_missing_is_left_out(tmp_path: Path) -> None:
    data = scan(table(tmp_path, "path,label\n" + rows("ab") + "all/gone.png,a\n"))
    assert len(data.samples) == 12
    assert "gone.png: cannot be read" in data.rejected[0]


def test_the_fingerprint_follows_the_labels(tmp_path: Path) -> None:
    before = scan(table(tmp_path, "path,label\n" + rows("ab"))).fingerprint
    assert scan(table(tmp_path, "path,label\n" + rows("ba"))).fingerprint != before


def test_several_labels_are_no_question_of_one_class(tmp_path: Path) -> None:
    pictures(tmp_path / "car", 4, 1)
    pictures(tmp_path / "car+person", 4, 2)
    pictures(tmp_path / "person", 4, 3)
    data = scan(tmp_path)
    check_question(data, "multilabel")
    check_question(data, "embed")
    for kind in ("classify", "binary"):
        with pytest.raises(DataError, match=r"000\.png: car and person.*--set kind=multilabel"):
            check_question(data, kind)  # type: ignore[arg-type]  # a loop over literals


def test_yes_or_no_is_asked_of_two_classes(gate: Path) -> None:
    check_question(scan(gate), "binary")
    pictures(gate / "half", 4, 3)
    with pytest.raises(DataError, match=r"'binary'.*3 \(half, open, shut\)"):
        check_question(scan(gate), "binary")
