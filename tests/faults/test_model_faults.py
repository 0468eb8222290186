"""Models that crash the runtime, hang it, or answer otherwise than in training: none of them ever serves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from brokers import Subscriber, eventually, mosquitto
from commands import COMMANDS, command
from models import tiny_flatbuffer, tiny_model

from edge.cli import check, main
from edge.config import ModelConfig, load_config
from edge.errors import ModelFileError
from edge.model_file import GoldenSamples
from edge.model_trial import PASSED_FILE, Trials

CRASHING = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


def foreign(path: Path, content: bytes | None = None) -> ModelConfig:
    path.write_bytes(content or tiny_flatbuffer())
    labels = path.with_suffix(".txt")
    labels.write_text("red\ngreen\nblue\n")
    return ModelConfig(file=str(path), labels=str(labels))


def altered(path: Path, change: float) -> ModelConfig:
    """A sealed file whose golden samples say that it answered otherwise."""
    tiny = tiny_model()
    assert tiny.golden is not None
    scores = np.asarray(tiny.golden.scores + np.float32(change), np.float32)
    replace(tiny, golden=GoldenSamples(tiny.golden.frames, scores)).write(path)
    return ModelConfig(file=str(path))


def a_runtime_that(does: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put something in place of the program that tries models."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{does}"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_a_sound_model_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials, config = Trials(tmp_path / "state"), foreign(tmp_path / "m.tflite")
    trials.require(config, serving=False)
    assert len(json.loads((tmp_path / "state" / PASSED_FILE).read_bytes())) == 1
    a_runtime_that(CRASHING, tmp_path, monkeypatch)
    Trials(tmp_path / "state").require(config, serving=True)  # it is not tried again
    with pytest.raises(ModelFileError, match="SIGSEGV"):  # another file is
        trials.require(foreign(tmp_path / "m.tflite", tiny_flatbuffer(bias=-1.0)), serving=True)


def test_a_sealed_model_costs_no_time_at_the_start_but_is_tried_in_place_of_one_that_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_model().write(tmp_path / "m.tflite")
    config = ModelConfig(file=str(tmp_path / "m.tflite"))
    a_runtime_that(CRASHING, tmp_path, monkeypatch)
    trials = Trials(tmp_path / "state")
    trials.require(config, serving=False)
    with pytest.raises(ModelFileError, match=r"m\.tflite: the runtime crashes on it \(SIGSEGV\)"):
        trials.require(config, serving=True)
    assert not (tmp_path / "state" / PASSED_FILE).exists()


def test_a_model_that_hangs_the_runtime_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = foreign(tmp_path / "m.tflite")
    a_runtime_that("import time; time.sleep(60)", tmp_path, monkeypatch)
    with pytest.raises(ModelFileError, match="hangs on it for 1 s"):
        Trials(tmp_path).require(config, serving=False, timeout_s=1)


@pytest.mark.parametrize("change", [0.5, float("nan")])
def test_a_model_that_answers_otherwise_here_does_not_take_the_place_of_one_that_serves(
    tmp_path: Path, change: float
) -> None:
    config = altered(tmp_path / "m.tflite", change)
    with pytest.raises(ModelFileError, match="answers differently on this device"):
        Trials(tmp_path / "state").require(config, serving=True)


@pytest.mark.slow
def test_a_damaged_flatbuffer_takes_at_most_the_trial_with_it(tmp_path: Path) -> None:
    """Whatever a mutant does to the runtime, it comes to light in the trial, or it answers."""
    chance = np.random.default_rng(39)
    whole = bytearray(tiny_flatbuffer())
    outcomes = set()
    for _ in range(30):
        mutant = bytearray(whole)
        for position in chance.integers(8, len(mutant), 12):
            mutant[position] = int(chance.integers(0, 256))
        try:
            Trials(tmp_path / "state").require(foreign(tmp_path / "m.tflite", bytes(mutant)), serving=True)
            outcomes.add("passed")
        except ModelFileError:
            outcomes.add("refused")
    assert "refused" in outcomes


def configured(folder: Path) -> Path:
    """A configuration of a stranger's model, and that model."""
    foreign(folder / "m.tflite")
    path = folder / "edge.toml"
    path.write_text(
        '[device]\nid = "porch"\nstate_dir = "state"\n[cameras.yard]\nsource = "scene:gate"\n'
        '[models.m]\nfile = "m.tflite"\nlabels = "m.txt"\n[watches.gate]\ncamera = "yard"\nmodel = "m"\n'
    )
    return path


def test_check_is_not_taken_along_by_a_model_that_crashes_the_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(tmp_path)
    a_runtime_that(CRASHING, tmp_path, monkeypatch)
    found = {}
    for finding in check.findings(load_config(config)):
        found[finding.subject] = finding
        if finding.subject == "models.m":
            break
    assert not found["models.m"].ok
    assert "SIGSEGV" in found["models.m"].message


def test_classify_is_not_taken_along_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = foreign(tmp_path / "m.tflite")
    cv2.imwrite(str(tmp_path / "red.png"), np.full((16, 16, 3), (0, 0, 255), np.uint8))
    words = ["classify", str(tmp_path / "red.png"), "--model", config.file, "--labels", str(config.labels)]
    assert main(words) == 0
    assert "red" in capsys.readouterr().out
    a_runtime_that(CRASHING, tmp_path, monkeypatch)
    assert main(words) == ModelFileError.exit_code
    assert "the runtime crashes on it (SIGSEGV)" in capsys.readouterr().err


def test_replay_of_a_configuration_is_not_taken_along_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path)
    a_runtime_that(CRASHING, tmp_path, monkeypatch)
    assert main(["replay", str(tmp_path), "--config", str(config)]) == ModelFileError.exit_code
    assert "the runtime crashes on it (SIGSEGV)" in capsys.readouterr().err


def test_a_disk_that_remembers_nothing_means_another_trial_and_no_more(tmp_path: Path) -> None:
    (tmp_path / PASSED_FILE).mkdir()
    for _ in range(2):
        Trials(tmp_path).require(foreign(tmp_path / "m.tflite"), serving=False)


def test_the_daemon_does_not_start_with_a_model_that_answers_otherwise(tmp_path: Path) -> None:
    altered(tmp_path / "m.tflite", 0.5)
    (tmp_path / "edge.toml").write_text(
        '[device]\nid = "porch"\nstate_dir = "state"\n[mqtt]\nhost = "127.0.0.1"\nport = 9\n'
        '[cameras.yard]\nsource = "scene:gate"\n[models.m]\nfile = "m.tflite"\n'
        '[watches.gate]\ncamera = "yard"\nmodel = "m"\n'
    )
    done = command("sightpost", "run", "--config", tmp_path / "edge.toml")
    assert done.returncode == 65
    assert "answers differently on this device" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_old_model_goes_on_serving_when_the_new_one_is_not_to_be_trusted(tmp_path: Path) -> None:
    tiny_model(version="1").write(tmp_path / "m.tflite")
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        (tmp_path / "edge.toml").write_text(
            f'[device]\nid = "porch"\nstate_dir = "state"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
            '[cameras.yard]\nsource = "scene:gate"\nrate_hz = 10\n[models.m]\nfile = "m.tflite"\n'
            '[watches.gate]\ncamera = "yard"\nmodel = "m"\ninterval_s = 0.1\nanswers = true\n'
        )
        log = (tmp_path / "log.txt").open("wb")
        daemon = subprocess.Popen([COMMANDS / "sightpost", "run", "--config", tmp_path / "edge.toml"], stderr=log)

        def version() -> str:
            count = len(subscriber.on("gate/answer"))
            eventually(lambda: len(subscriber.on("gate/answer")) > count + 2, 60)
            return str(subscriber.payloads("gate/answer")[-1]["model"]["version"])

        def said() -> str:
            return (tmp_path / "log.txt").read_text()

        try:
            assert version() == "1"
            altered(tmp_path / "m.tflite", 0.5)
            daemon.send_signal(signal.SIGHUP)
            eventually(lambda: "nothing has changed" in said(), 60)
            assert "answers differently on this device" in said()
            assert version() == "1"
            (tmp_path / "m.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + b"\xff" * 5000)
            daemon.send_signal(signal.SIGHUP)
            eventually(lambda: said().count("nothing has changed") == 2, 60)
            assert version() == "1"
            tiny_model(version="2").write(tmp_path / "m.tflite")
            daemon.send_signal(signal.SIGHUP)
            eventually(lambda: version() == "2", 60)
        finally:
            daemon.terminate()
            daemon.wait(30)
            log.close()
        assert daemon.returncode == 0, said()
