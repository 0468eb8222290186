"""Where ``fit`` and ``tune`` write: never over each other, never among the classes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from trainer.cli import main
from trainer.locks import FileLock

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-c", "import sys; from trainer.cli import main; sys.exit(main())"]
SMALL = ("--backbone", "mobilenet", "--alpha", "0.25", "--size", "32", "--weights", "none", "--effort", "quick")
LOOSE = ("--epochs", "1", "--set", "quantize.tolerance=0.9", "--set", "train.batch_size=8", "--no-report", "--json")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    for label in ("open", "shut"):
        (tmp_path / "gate" / label).mkdir(parents=True)
        for number in range(12):
            image = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "gate" / label / f"{number}.png"), image)
    return tmp_path / "gate"


def complaint(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = main([str(word) for word in words])
    return code, capsys.readouterr().err.strip().splitlines()[-1]


def test_a_report_in_the_place_of_the_model_is_refused(
    gate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, page = tmp_path / "x.tflite", tmp_path / "x.html"
    for words in ((model, "--report", model), (page,)):
        code, said = complaint(capsys, "fit", gate, *SMALL, "--out", *words)
        assert code == 64
        assert "is both --out and --report" in said


def test_a_search_does_not_replace_its_own_recipe_or_study(
    gate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, page = tmp_path / "gate.toml", tmp_path / "gate.html"
    recipe.write_text("seed = 1\n")
    code, said = complaint(capsys, "tune", gate, "--recipe", recipe, "--out", recipe)
    assert (code, "is both --recipe and --out" in said) == (64, True)
    code, said = complaint(capsys, "tune", gate, "--out", page)
    assert (code, "is both --out and --page" in said) == (64, True)


@pytest.mark.parametrize("command", ["fit", "tune"])
@pytest.mark.parametrize("out", ["", ".", "/"])
def test_a_folder_is_no_file_to_write(gate: Path, command: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = complaint(capsys, command, gate, "--out", out)
    assert (code, "is a folder; name the file to write" in said) == (65, True)


@pytest.mark.parametrize(
    ("command", "option"), [("fit", "--out"), ("fit", "--report"), ("tune", "--out"), ("tune", "--study")]
)
def test_no_device_or_pipe_is_replaced_by_a_file(
    gate: Path, tmp_path: Path, command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    code, said = complaint(capsys, command, gate, "--out", tmp_path / "x", option, tmp_path / "pipe")
    assert (code, "pipe: is a device or a pipe" in said) == (65, True)
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("option", ["--study", "--page"])
def test_a_search_finds_out_first_what_it_cannot_write_at_its_end(
    gate: Path, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = complaint(capsys, "tune", gate, "--out", tmp_path / "best.toml", option, gate)
    assert code in {64, 65}
    assert str(gate) in said


def test_two_trainings_do_not_make_the_same_file(
    gate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".x.tflite.work").mkdir()
    with FileLock(tmp_path / ".x.tflite.work" / "lock"):
        code, said = complaint(capsys, "fit", gate, *SMALL, *LOOSE, "--out", tmp_path / "x.tflite")
    assert (code, "another training is making this file" in said) == (65, True)


@pytest.mark.slow
def test_after_kill_9_it_goes_on_where_the_file_lies_among_the_pictures(gate: Path) -> None:
    words = [*COMMAND, "fit", str(gate), *SMALL, *LOOSE, "--out", str(gate / "gate.tflite")]
    killed = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not any(path.suffix == ".part" for folder in gate.glob("*.work") for path in folder.iterdir()):
        assert killed.poll() is None, "it was done before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    again = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(again.stdout)["labels"] == ["open", "shut"]
    assert sorted(path.name for path in gate.iterdir()) == ["gate.tflite", "open", "shut"]
