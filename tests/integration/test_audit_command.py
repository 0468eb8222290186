"""``sightpost-train audit`` as its owner runs it, on made-up sets and on the real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scenes import jpeg, photograph, photographs, recording

from trainer.audit import audit
from trainer.cli import main
from trainer.data import scan
from trainer.recipe import SplitRecipe
from trainer.sources import PARTS
from trainer.split import split

SCENES = {"car_lane": 112, "person_zone": 143, "shelf_bottles": 173}
PHOTOGRAPHS = {"cifar10_500": 600, "flowers5": 1000, "traffic_light3": 1186, "trash6": 1514}


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    photographs(tmp_path / "open", 40, 1)
    photographs(tmp_path / "shut", 40, 2)
    return tmp_path


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["audit", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_clean_data_is_ready(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--strict", str(clean)]) == 0
    output = capsys.readouterr().out
    assert "Ready to train." in output
    assert "open" in output


def test_a_warning_fails_only_where_that_is_asked_for(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clean / "open" / "cut.jpg").write_bytes(jpeg(photograph(1))[:-200])
    assert main(["audit", str(clean)]) == 0
    assert main(["audit", "--strict", str(clean)]) == 65
    output = capsys.readouterr().out
    assert "cut.jpg" in "".join(output.split())  # long names are folded
    assert "Replace or remove" in output


def test_an_error_fails_and_everything_is_said_at_once(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clean / "ajar [half]").mkdir()
    (clean / "open" / "cut.jpg").write_bytes(jpeg(photograph(1))[:-200])
    assert main(["audit", str(clean)]) == 65
    output = capsys.readouterr().out
    assert "Not ready to train: 1 error, 1 warning" in output
    assert "ajar [half]" in output


def test_a_machine_gets_kinds_files_and_advice(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = clean / "shut" / "copy.jpg"
    copy.write_bytes((clean / "open" / "007.jpg").read_bytes())
    code, result = as_json(capsys, str(clean))
    assert code == 0
    assert (result["pictures"], result["groups"], result["classes"]) == (81, 80, {"open": 40, "shut": 41})
    (finding,) = result["findings"]
    assert (finding["severity"], finding["kind"]) == ("warning", "contradiction")
    assert str(copy) in finding["paths"]
    assert finding["advice"]


def test_a_set_may_be_declared_multi_label(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clean / "shut" / "copy.jpg").write_bytes((clean / "open" / "007.jpg").read_bytes())
    _, result = as_json(capsys, "--multilabel", str(clean))
    assert [finding["kind"] for finding in result["findings"]] == ["multilabel"]


def test_a_csv_file_is_audited_like_a_folder(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = clean / "gate.csv"
    lines = [f"{label}/{number:03}.jpg,{label}" for label in ("open", "shut") for number in range(40)]
    path.write_text("path,label\n" + "\n".join(lines))
    code, result = as_json(capsys, str(path))
    assert (code, result["pictures"], result["findings"]) == (0, 80, [])


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_what_holds_no_classes_is_one_line_and_65(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["audit", str(tmp_path / name)]) == 65
    assert capsys.readouterr().err.count("\n") == 1


def test_frames_of_a_camera_are_held_out_by_blocks_of_time(tmp_path: Path) -> None:
    for start in range(0, 600, 200):
        recording(tmp_path / "open", range(start, start + 50))
        recording(tmp_path / "shut", range(start + 100, start + 150))
    data = scan(tmp_path)
    parts = split(data, SplitRecipe(validation=0.15, test=0.15), np.random.default_rng(1))
    part_of = {index: name for name in PARTS for index in getattr(parts, name)}
    neighbours = [
        part_of[index] == part_of[index + 1]
        for index in range(len(data.samples) - 1)
        if data.samples[index].label == data.samples[index + 1].label
    ]
    assert np.mean(neighbours) > 0.95  # 0.54 if each frame were drawn by itself
    assert min(map(len, (parts.validation, parts.test))) >= 30


@pytest.mark.real_data
@pytest.mark.parametrize("name", SCENES)
def test_a_real_scene_is_one_recording(data_dir: Path, name: str) -> None:
    data = scan(data_dir / "datasets" / name)
    found = audit(data)
    assert [finding.kind for finding in found.findings] == ["recording"]
    assert len(data.survey.recordings[0].members) == len(data.samples) == SCENES[name]
    parts = split(data, SplitRecipe(), np.random.default_rng(1))
    for part in PARTS:
        assert (data.targets(getattr(parts, part)).sum(axis=0) >= 4).all()


@pytest.mark.real_data
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_real_photographs_are_no_recording(data_dir: Path, name: str) -> None:
    data = scan(data_dir / "datasets" / name)
    assert len(data.samples) == PHOTOGRAPHS[name]
    assert not data.survey.recordings
    assert not data.survey.unordered


@pytest.mark.real_data
def test_two_contradictions_in_trash6_are_found(data_dir: Path) -> None:
    data = scan(data_dir / "datasets" / "trash6")
    found = {finding.kind: finding for finding in audit(data).findings}
    names = {path.name for path in found["contradiction"].paths}
    assert names == {"glass115.jpg", "metal91.jpg", "glass176.jpg", "plastic152.jpg"}
    assert "near_contradiction" not in found
    assert len(found["near_duplicates"].paths) < 40
