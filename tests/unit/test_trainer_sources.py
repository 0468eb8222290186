"""Files and folders as people leave them: links, hidden ones, pipes, and what may not be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from noise import pictures

from trainer.audit_pictures import unusable
from trainer.calibration_pictures import collect
from trainer.data import look, scan
from trainer.errors import DataError
from trainer.report.folder import read_labelled
from trainer.sources import list_pictures


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    pictures(tmp_path / "gate" / "open", 6, 1)
    pictures(tmp_path / "gate" / "shut", 6, 2)
    return tmp_path / "gate"


def test_hidden_folders_inside_a_class_are_nobodys_pictures(gate: Path) -> None:
    pictures(gate / "open" / ".thumbnails", 6, 3)
    assert scan(gate).counts() == {"open": 6, "shut": 6}


def test_a_linked_folder_inside_a_class_is_read(gate: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "camera", 6, 3)
    (gate / "open" / "camera").symlink_to(tmp_path / "camera")
    assert scan(gate).counts() == {"open": 12, "shut": 6}
    assert len(read_labelled(gate, ("open", "shut"), multilabel=False).pictures) == 18
    assert len(collect(gate, ("open", "shut"), limit=100).paths) == 18


def test_links_in_a_circle_end_and_mix_no_classes(gate: Path) -> None:
    (gate / "open" / "up").symlink_to("..")
    (gate / "open" / "self").symlink_to(".")
    assert scan(gate).counts() == {"open": 6, "shut": 6}


def test_a_link_to_nothing_is_named_and_left_out(gate: Path) -> None:
    (gate / "open" / "gone.jpg").symlink_to("/nowhere/gone.jpg")
    assert "gone.jpg: cannot be read: No such file" in scan(gate).rejected[0]


def test_a_pipe_is_named_and_not_waited_on(gate: Path) -> None:
    os.mkfifo(gate / "open" / "pipe.jpg")
    assert "pipe.jpg: cannot be read: is a pipe" in scan(gate).rejected[0]


def test_a_file_larger_than_any_picture_is_refused_without_reading_it(gate: Path) -> None:
    with (gate / "open" / "huge.tif").open("wb") as file:
        file.truncate(1 << 40)
    assert "huge.tif: refused: more than" in scan(gate).rejected[0]


@pytest.mark.parametrize("place", [".", "open/camera"])
def test_a_folder_that_cannot_be_read_is_one_line(gate: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = gate / place
    locked.mkdir(exist_ok=True)
    listed = Path.iterdir

    def refuse(folder: Path) -> object:  # root, who runs some of the tests, may read everything
        if folder == locked:
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match="the folder cannot be read: Permission denied"):
        scan(gate)


def test_a_table_whose_pictures_are_all_missing_says_where_they_were_looked_for(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path,label\n" + "".join(f"gone/{i}.jpg,{'ab'[i % 2]}\n" for i in range(8)))
    with pytest.raises(
        DataError, match=r"'a' has no picture that can be read; 8 are left out, the first: .*gone/0\.jpg"
    ):
        scan(table)


def test_a_table_with_an_endless_first_cell_is_one_line(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("p" * 5000 + ",label\na.jpg,b\n")
    with pytest.raises(DataError, match="names 1 class"):
        scan(table)


def test_the_audit_parts_advice_from_what_is_wrong_with_a_file(gate: Path) -> None:
    for file in (gate / "open").iterdir():
        file.write_bytes(b"no picture")
    (finding,) = unusable(look(list_pictures(gate), gate, on_file=lambda: None))
    assert finding.message.endswith("remove or replace it (left out)")
    assert finding.advice == "Add pictures or remove the folder"
