"""Whatever is wrong: one clear line that names it, the right exit code, no traceback, and nothing overwritten."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

GOOD = """
[device]
id = "test"
state_dir = "state"
[mqtt]
host = "127.0.0.1"
port = 1
[cameras.yard]
source = "{source}"
[models.gate]
file = "{model}"
[watches.gate]
camera = "yard"
model = "gate"
"""


def complaint(done: subprocess.CompletedProcess[str], exit_code: int, *words: str) -> str:
    """The last line on standard error, which must hold the words."""
    assert done.returncode == exit_code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" not in done.stdout
    line = (done.stderr.strip().splitlines() or [""])[-1]
    for word in words:
        assert word in line, f"{word!r} is not in {line!r}"
    return line


@pytest.fixture
def toml(tmp_path: Path, model_path: Path) -> Callable[..., Path]:
    def write(old: str = "", new: str = "", source: str = "scene:gate") -> Path:
        text = GOOD.format(source=source, model=model_path)
        assert old in text
        path = tmp_path / "edge.toml"
        path.write_text(text.replace(old, new) if old else text)
        return path

    return write


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("model = ", "modle = ", ["watches.gate.modle: unknown key", "did you mean 'model'?"]),
        ('id = "test"', "id = 3", ["device.id: expected `str`, got `int`"]),
        ("[mqtt]", "[mqqt]", ["mqqt: unknown table", "did you mean 'mqtt'?"]),
        ("port = 1", "port = 99999", ["mqtt.port: expected `int` <= 65535"]),
        ('camera = "yard"', 'camera = "yad"', ["watches.gate.camera: there is no camera 'yad'", "'yard'"]),
        ('id = "test"', 'id = "a/b"', ["device.id"]),
        ('id = "test"', "id = ", ["not valid TOML"]),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_wrong_configuration_is_refused_with_its_key(
    run: Run, toml: Callable[..., Path], command: str, old: str, new: str, words: list[str]
) -> None:
    config = toml(old, new)
    complaint(run("sightpost", command, "--config", config), 78, str(config), *words)


def test_a_missing_configuration_is_named(run: Run, tmp_path: Path) -> None:
    complaint(run("sightpost", "run", "--config", tmp_path / "none.toml"), 78, "none.toml", "cannot read")


def test_a_missing_camera_is_found_by_check(run: Run, toml: Callable[..., Path]) -> None:
    done = run("sightpost", "check", "--config", toml(source="/dev/video63"))
    assert done.returncode == 66
    assert "/dev/video63" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("replay", "{clip}", "--model", "{model}"), ("run", "--config", "{config}")])
def test_a_file_that_is_no_video_is_refused(
    run: Run, toml: Callable[..., Path], model_path: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    clip = tmp_path / "named.avi"
    clip.write_text("<html>not found</html>" * 100)
    words = [word.format(clip=clip, model=model_path, config=toml(source=str(clip))) for word in command]
    complaint(run("sightpost", *words), 66, "named.avi")


@pytest.mark.real_data
def test_the_web_page_named_avi_is_refused(run: Run, model_path: Path, data_dir: Path) -> None:
    clip = data_dir / "clips" / "CORRUPT_html_named.avi"
    done = run("sightpost", "replay", clip, "--model", model_path)
    complaint(done, 66, "CORRUPT_html_named.avi")
    assert len(done.stderr.strip().splitlines()) == 1


def test_pictures_that_cannot_be_read_do_not_stop_the_others(run: Run, model_path: Path, tmp_path: Path) -> None:
    import cv2
    import numpy as np

    good = tmp_path / ("lang–開" * 20 + ".png")
    good.write_bytes(cv2.imencode(".png", np.full((20, 20, 3), (0, 0, 255), np.uint8))[1].tobytes())
    text, missing = tmp_path / "text.jpg", tmp_path / "missing.jpg"
    text.write_text("hello")
    done = run("sightpost", "classify", text, good, missing, "--model", model_path)
    complaint(done, 65, "missing.jpg")
    assert "text.jpg: is not a picture" in done.stderr
    assert "red" in done.stdout


@pytest.mark.parametrize(
    "damage", ["cut", "flip at the start", "flip in the middle", "flip at the end", "empty", "text"]
)
def test_a_damaged_model_file_is_refused(run: Run, model_path: Path, tmp_path: Path, damage: str) -> None:
    content = bytearray(model_path.read_bytes())
    place = {"flip at the start": 100, "flip in the middle": len(content) // 2, "flip at the end": len(content) - 3}
    if damage in place:
        content[place[damage]] ^= 0x10
    else:
        content = {"cut": content[:-500], "empty": bytearray(), "text": bytearray(b"hello" * 50)}[damage]
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(content)
    picture = tmp_path / "p.png"
    complaint(run("sightpost", "classify", picture, "--model", broken), 65, "broken.tflite")


@pytest.mark.real_data
def test_labels_that_do_not_match_the_outputs_are_refused(run: Run, data_dir: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\n")
    model = data_dir / "models" / "mobilenet_v1_0.25_128_quant.tflite"
    done = run("sightpost", "classify", data_dir / "pictures/cat.jpg", "--model", model, "--labels", labels)
    complaint(done, 65, "2 labels do not match the model's 1001 outputs")


@pytest.mark.real_data
def test_a_strangers_model_needs_to_be_told_what_it_does_not_say(run: Run, data_dir: Path, tmp_path: Path) -> None:
    model, picture = data_dir / "models/vww_96_int8.tflite", data_dir / "pictures/grace_hopper.jpg"
    labels = tmp_path / "labels.txt"
    labels.write_text("nobody\nperson\n")
    complaint(run("sightpost", "classify", picture, "--model", model), 65, "scaling=")
    complaint(run("sightpost", "classify", picture, "--model", model, "--input", "scaling=0..1"), 65, "--labels FILE")
    told = ["--input", "scaling=0..1", "--labels", labels]
    done = run("sightpost", "classify", picture, "--model", model, *told)
    assert done.returncode == 0, done.stderr
    assert "person 0.9" in done.stdout
    wrong = run("sightpost", "classify", picture, "--model", model, "--input", "scalng=0..1", "--labels", labels)
    complaint(wrong, 78, "scalng: unknown key; did you mean 'scaling'?")


@pytest.mark.parametrize(
    ("make", "exit_code", "words"),
    [
        (lambda _: None, 65, ["is not a folder"]),
        (lambda root: (root / "only").mkdir(parents=True), 65, ["one class folder only"]),
        (lambda root: [(root / name).mkdir(parents=True) for name in ("a", "b")], 65, ["the class 'a' is empty"]),
    ],
)
def test_a_training_that_cannot_be_leaves_the_old_model_alone(
    run: Run, tmp_path: Path, make: Callable[[Path], object], exit_code: int, words: list[str]
) -> None:
    out = tmp_path / "gate.tflite"
    out.write_bytes(b"the old model")
    make(tmp_path / "data")
    complaint(run("sightpost-train", "fit", tmp_path / "data", "--out", out, "--weights", "none"), exit_code, *words)
    assert out.read_bytes() == b"the old model"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "data") == ["gate.tflite"]


def test_help_has_an_example_everywhere(run: Run) -> None:
    for words in (["sightpost"], *(["sightpost", name] for name in ("run", "replay", "classify", "check"))):
        assert "example: sightpost" in run(*words, "--help").stdout
    assert "example: sightpost-train" in run("sightpost-train", "fit", "--help").stdout


def test_a_state_folder_out_of_reach_is_found_by_check(run: Run, toml: Callable[..., Path]) -> None:
    done = run("sightpost", "check", "--config", toml('state_dir = "state"', f'state_dir = "{"a" * 300}"'))
    assert done.returncode == 74
    assert "cannot be reached" in done.stdout
    assert "Traceback" not in done.stderr


def test_check_leaves_nothing_behind(run: Run, toml: Callable[..., Path], tmp_path: Path) -> None:
    config = toml()
    before = sorted(path.name for path in tmp_path.iterdir())
    done = run("sightpost", "check", "--config", config)
    assert done.returncode == 69, "there is no broker"
    assert "made at the first run" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == before
