"""What watches would have said of a recording, from a real camera process."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from commands import command
from models import plain, tiny_model

CONFIG = """
[device]
id = "test"
[cameras.yard]
source = "rtsp://camera.invalid/"
[models.m]
file = "m.tflite"
[models.vectors]
file = "vectors.tflite"
[watches.all]
camera = "yard"
model = "m"
interval_s = 0
[watches.corner]
camera = "yard"
model = "m"
interval_s = 0
cadence = "command"
schedule = ["00:00-00:01"]
roi = [0, 0, 0.25, 0.25]
hold_frames = 2
[watches.features]
camera = "yard"
model = "vectors"
"""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A red yard, in whose corner it gets green for a moment and then for good; with its configuration beside it."""
    tiny_model().write(tmp_path / "m.tflite")
    tiny_model(kind="embed").write(tmp_path / "vectors.tflite")
    (tmp_path / "edge.toml").write_text(CONFIG)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, green in enumerate((False, True, False, False, True, True, True)):
        image = plain("red", height_px=48, width_px=64)
        if green:
            image[:12, :16] = plain("green", height_px=12, width_px=16)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


def test_the_watches_of_a_configuration_look_at_a_recording_by_their_rules(clip: Path) -> None:
    done = command("sightpost", "replay", clip, "--config", clip.parent / "edge.toml", "--json")
    assert done.returncode == 0, done.stderr
    *events, summary = [json.loads(line) for line in done.stdout.splitlines()]
    told = [(each["watch"], each["frame"], each["label"], each["previous"]) for each in events]
    assert told == [("all", 0, "red", None), ("corner", 3, "red", None), ("corner", 5, "green", "red")]
    assert summary["summary"]["frames"] == 7
    assert summary["summary"]["answers"] == 14


def test_a_state_that_is_stale_has_no_score_in_json(clip: Path) -> None:
    config = clip.parent / "edge.toml"
    config.write_text(CONFIG.replace("roi = [0, 0, 0.25, 0.25]", "roi_px = [0, 0, 1000, 1000]"))
    done = command("sightpost", "replay", clip, "--config", config, "--watch", "corner", "--json")
    assert done.returncode == 0, done.stderr
    assert "NaN" not in done.stdout
    event = json.loads(done.stdout.splitlines()[0])
    assert (event["label"], event["score"]) == ("stale", None)


def test_those_that_are_named_are_told_apart_in_words(clip: Path) -> None:
    done = command("sightpost", "replay", clip, "--config", clip.parent / "edge.toml", "--watch", "corner")
    assert done.returncode == 0, done.stderr
    assert "red → green" in done.stdout
    assert "7 frames, 7 answers, 2 events" in done.stdout


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "give --model FILE, or --config FILE"),
        (["--model", "m.tflite", "--watch", "all"], "--watch: names a watch of a configuration"),
        (["--config", "edge.toml", "--watch", "cornre"], "there is no such watch; did you mean 'corner'?"),
        (["--config", "edge.toml", "--hold-s", "1"], "--hold-s: the configuration says that"),
        (["--config", "edge.toml", "--watch", "features"], "gives feature vectors, no classes"),
    ],
)
def test_what_does_not_go_together_is_refused(clip: Path, options: list[str], complaint: str) -> None:
    given = [clip.parent / each if each.endswith((".toml", ".tflite")) else each for each in options]
    done = command("sightpost", "replay", clip, *given)
    assert done.returncode == 64
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
