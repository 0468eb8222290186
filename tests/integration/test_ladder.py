"""A real climb: a network that int8 destroys is rescued by the rung that it needs, and everybody is told which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import command
from hostile import COLORS_BGR

from edge.model import Model
from edge.preprocess import read_picture
from trainer.ladder import climb, told

pytestmark = pytest.mark.timeout(900)  # Keras traces graphs for minutes where processors are shared


@pytest.fixture(scope="module")
def climbed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("hostile")
    done = subprocess.run(
        [sys.executable, "tests/hostile.py", str(folder)],
        cwd=repository, env={**os.environ, "PYTHONPATH": str(repository)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads(done.stdout.splitlines()[-1])


def test_what_int8_destroys_is_rescued_by_the_layers_that_matter_in_float(
    climbed: tuple[Path, dict[str, Any]],
) -> None:
    folder, said = climbed
    quantization = said["climbed"]["quantization"]
    assert quantization["rung"] == "float_layers"
    assert list(dict.fromkeys(each["rung"] for each in quantization["tried"])) == [
        "int8", "more_pictures", "float_layers"
    ]  # fmt: skip
    assert quantization["tried"][0]["accuracy"] < 0.7
    assert said["climbed"]["int8"]["accuracy"] == said["climbed"]["float"]["accuracy"] == 1.0
    kept, whole = (int(word) for word in quantization["note"].split("(")[1].split()[::2][:2])
    assert kept <= whole / 4, "the two layers between which the loud channels lie, and not half of the network"
    model = Model.load(folder / "climbed.tflite")
    for color in COLORS_BGR:
        assert model.predict(read_picture(folder / "pictures" / color / "0.png")).label == color


def test_console_and_card_say_which_rung_was_needed_and_why(climbed: tuple[Path, dict[str, Any]]) -> None:
    _, said = climbed
    assert (
        "all layers but a small head in int8: right in 33.3%, float in 100.0%, and 1.0% is allowed" in said["console"]
    )
    words = told(said["climbed"]["quantization"])
    assert words.startswith("plain int8 was not enough (same answer as float in 33.3%)")
    assert words.count("the most sensitive layers in float") == 1
    assert "more_pictures" not in words  # a recipe's word, not a person's
    assert told(said["drifted"]["quantization"]) == ""


def test_a_file_that_fails_its_own_proof_is_not_written_unless_told_to(climbed: tuple[Path, dict[str, Any]]) -> None:
    folder, said = climbed
    assert "not written: no rung of the ladder (int8, more_pictures)" in said["refused"]
    assert not (folder / "refused.tflite").exists()
    assert said["drifted"]["int8"]["accuracy"] < 0.7
    assert Model.load(folder / "drifted.tflite").labels == tuple(COLORS_BGR)


def test_a_rung_that_cannot_be_made_is_said_and_passed_over(climbed: tuple[Path, dict[str, Any]]) -> None:
    _, said = climbed
    assert said["made"] == ["float16"]
    assert "all layers but a small head in int8: cannot be made of this network" in said["skipped"][0]


def test_without_pictures_nothing_is_climbed() -> None:
    with pytest.raises(ValueError, match="needs pictures"):
        next(climb(b"", lambda _count: [], pictures=4, rungs=("int8",)))


def test_convert_climbs_too(climbed: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = climbed
    (tmp_path / "labels.txt").write_text("\n".join(COLORS_BGR))
    done = command(
        "sightpost-train", "convert", folder / "hostile.keras", "--out", tmp_path / "m.tflite", "--mode", "raw",
        "--labels", tmp_path / "labels.txt", "--calibration", folder / "pictures", timeout_s=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "plain int8 was not enough" in done.stdout
    model = Model.load(tmp_path / "m.tflite")
    assert model.file.card is not None
    assert model.file.card.metrics["quantization"]["rung"] == "float_layers"
    assert model.file.card.metrics["int8"]["accuracy"] == 1.0
