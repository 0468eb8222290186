"""A picture of what is configured, from a real camera process."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import command
from models import plain

CONFIG = """
[device]
id = "test"
[cameras.yard]
source = "{source}"
pace = "fast"
[models.m]
file = "m.tflite"
[watches.all]
camera = "yard"
model = "m"
[watches.corner]
camera = "yard"
model = "m"
{corner}
"""


def configured(folder: Path, source: object, corner: str = "roi_px = [0, 0, 16, 12]") -> Path:
    path = folder / "edge.toml"
    path.write_text(CONFIG.format(source=source, corner=corner))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A red yard, in whose corner it gets green."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        image = plain("red", height_px=48, width_px=64)
        if number > 1:
            image[:12, :16] = plain("green", height_px=12, width_px=16)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


def test_the_regions_are_drawn_and_cut_out(tmp_path: Path, pictures: Path) -> None:
    out, cut = tmp_path / "out" / "roi.png", tmp_path / "cut"
    done = command(
        "sightpost", "roi", "--camera", "yard", "--config", configured(tmp_path, pictures), "--out", out, "--cut", cut,
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["number"], each["watch"]) for each in said] == [(1, "all"), (2, "corner")]
    assert said[1]["corners_px"] == [[0, 0], [16, 0], [16, 12], [0, 12]]
    drawn = cv2.imread(str(out))
    assert drawn.shape == (48, 64, 3)
    assert (drawn != plain("red", height_px=48, width_px=64)).any()
    assert (cv2.imread(str(cut / "corner.png")) == plain("red", height_px=12, width_px=16)).all()


def test_what_moves_is_told_for_each_region(tmp_path: Path, pictures: Path) -> None:
    done = command(
        "sightpost", "roi", "--camera", "yard", "--config",
        configured(tmp_path, pictures, "roi_px = [0, 0, 16, 12]\nmotion = { area = 0.5 }"),
        "--out", tmp_path / "heat.png", "--motion", "60", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    everything, corner = [json.loads(line) for line in done.stdout.splitlines()]
    assert everything["moved"] == pytest.approx(1 / 16, abs=0.03)
    assert everything["opens"]
    assert corner["moved"] == 1.0
    heat = cv2.imread(str(tmp_path / "heat.png"))
    assert np.abs(heat[4:10, 4:12].astype(int) - heat[30, 40].astype(int)).max() > 50, "and it can be seen"


def test_looking_takes_no_picture_out_of_a_hot_folder(tmp_path: Path, pictures: Path) -> None:
    config = configured(tmp_path, pictures, "interval_s = 0")
    text = config.read_text().replace('pace = "fast"', 'hot = "move"')
    config.write_text(text.replace("[watches.corner]", "interval_s = 0\n[watches.corner]"))
    before = sorted(path.name for path in pictures.iterdir())
    done = command(
        "sightpost", "roi", "--camera", "yard", "--config", config, "--out", tmp_path / "roi.png", "--motion", "2.5"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in pictures.iterdir()) == before


def test_a_region_that_does_not_fit_is_told_with_both_sizes(tmp_path: Path, pictures: Path) -> None:
    config = configured(tmp_path, pictures, "roi_px = [0, 0, 160, 12]")
    drawing = command("sightpost", "roi", "--camera", "yard", "--config", config, "--out", tmp_path / "roi.png")
    assert (drawing.returncode, drawing.stdout) == (78, "")
    assert "watches.corner: its region reaches to 160x12 pixels, but the camera's frames have 64x48" in drawing.stderr
    checked = command("sightpost", "check", "--config", config)
    assert "FAIL  cameras.yard       watches.corner: its region reaches to 160x12" in checked.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--camera", "yart", "--out", "roi.png"], 64, "did you mean 'yard'?"),
        (["--camera", "yard", "--out", "roi.gif"], 64, "ends with .jpg or .png"),
    ],
)
def test_what_is_asked_wrongly_is_told(
    tmp_path: Path, pictures: Path, arguments: list[str], code: int, said: str
) -> None:
    done = command("sightpost", "roi", "--config", configured(tmp_path, pictures), *arguments, cwd=tmp_path)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_a_picture_that_no_jpeg_can_hold_is_told(tmp_path: Path) -> None:
    wide = tmp_path / "wide"
    wide.mkdir()
    cv2.imwrite(str(wide / "line.png"), plain("red", height_px=16, width_px=66_000))
    config = configured(tmp_path, wide)
    done = command("sightpost", "roi", "--camera", "yard", "--config", config, "--out", tmp_path / "roi.jpg")
    assert done.returncode == 65, done.stderr
    assert "a JPEG cannot hold 66000x16 pixels; give a name that ends with .png" in done.stderr
