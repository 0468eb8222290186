"""Which pictures are learnt from, and what is refused before an hour of training is wasted on it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from trainer.data import balanced, scan
from trainer.errors import DataError
from trainer.recipe import SplitRecipe
from trainer.split import split


def pictures(folder: Path, count: int, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image = np.random.default_rng((seed, number)).integers(0, 255, (24, 32, 3), np.uint8)
        (folder / f"{number:03}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())


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
    with pytest.raises(DataError, match=r"none of its 1 files can be read, the first: .*a\.jpg"):
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


def test_the_fingerprint_follows_content_and_names(gate: Path) -> None:
    before = scan(gate).fingerprint
    assert scan(gate).fingerprint == before
    (gate / "open" / "000.png").rename(gate / "open" / "zzz.png")
    assert scan(gate).fingerprint != before


def test_the_split_is_stratified_disjoint_and_complete(gate: Path) -> None:
    data = scan(gate)
    parts = split(data, SplitRecipe(validation=0.1, test=0.2), rng=np.random.default_rng(1))
    assert sorted(parts.train + parts.validation + parts.test) == list(range(30))
    held_out = [data.samples[index].label for index in parts.test]
    assert (held_out.count(0), held_out.count(1)) == (4, 2)


def test_the_split_follows_the_seed(gate: Path) -> None:
    data = scan(gate)
    same = [split(data, SplitRecipe(validation=0.1, test=0.2), rng=np.random.default_rng(5)) for _ in range(2)]
    other = split(data, SplitRecipe(validation=0.1, test=0.2), rng=np.random.default_rng(6))
    assert same[0] == same[1] != other


def test_every_class_keeps_something_to_learn_from_and_to_be_judged_on(tmp_path: Path) -> None:
    for name in ("a", "b"):
        pictures(tmp_path / name, 4)
    data = scan(tmp_path)
    for test in (0.01, 0.4):
        parts = split(data, SplitRecipe(validation=0.1, test=test), rng=np.random.default_rng(0))
        for indices in (parts.train, parts.test):
            assert {data.samples[index].label for index in indices} == {0, 1}


def test_a_representative_set_gives_every_class_its_turn(gate: Path) -> None:
    data = scan(gate)
    chosen = balanced(range(30), data, 12, np.random.default_rng(0))
    labels = [data.samples[index].label for index in chosen]
    assert labels.count(0) == labels.count(1) == 6
    assert len(set(chosen)) == 12
