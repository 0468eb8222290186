"""Saved models of every kind that people have, loaded and converted for real, each in a process of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import COMMANDS, command
from legacy_models import LABELS, saved_models, write_pictures

from edge.model import Model
from edge.preprocess import read_picture
from trainer.saved.child import ask_child
from trainer.saved.errors import SavedModelError, UntrustedModelError
from trainer.saved.protocol import Answer, Request

TIME_LIMIT_S = 240.0


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ``legacy_models``, with pictures and labels; made once, however many processes run the tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "saved-models"
    with (shared / "saved-models.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            folder.mkdir(exist_ok=True)
            saved_models(folder)
            write_pictures(folder / "pictures")
            (folder / "labels.txt").write_text("\n".join(LABELS))
            (folder / "complete").touch()
    return folder


def ask(path: Path, folder: Path, **wanted: Any) -> Answer:
    folder.mkdir(exist_ok=True)
    return ask_child(Request(**{"action": "load", "path": path, "folder": folder, **wanted}), time_limit_s=TIME_LIMIT_S)


def convert(models: Path, name: str, out: Path, *flags: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return command(
        "sightpost-train", "convert", models / name, "--out", out, "--calibration", models / "pictures",
        *flags, timeout_s=TIME_LIMIT_S, **options,
    )  # fmt: skip


# What loads, and by which library


@pytest.mark.parametrize(
    ("name", "loader", "attempts", "layers"),
    [
        ("cnn3.keras", "Keras 3", 0, 6),
        pytest.param("cnn3.h5", "Keras 3", 0, 6, marks=pytest.mark.slow),
        ("cnn3_saved", "TensorFlow", 0, None),
        ("cnn_saved", "TensorFlow", 0, None),
        ("cnn.h5", "Keras 3", 0, 6),
        ("model_from_r.hdf5", "Keras 3", 0, 6),
        ("mobilenet2.keras", "tf-keras", 1, 156),
    ],
)
def test_it_loads_whole_and_says_by_which_library(
    models: Path, tmp_path: Path, name: str, loader: str, attempts: int, layers: int | None
) -> None:
    loaded = ask(models / name, tmp_path).loaded
    assert loaded is not None
    assert loaded.loader.startswith(loader)
    assert len(loaded.attempts) == attempts
    assert layers is None or len(loaded.layers) == layers
    assert "the same as in the file" in loaded.checks[0]
    assert "finite and differ" in loaded.checks[1]


@pytest.fixture
def without_tf_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child process in which tf-keras is not installed."""
    folder = tmp_path / "blocked"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['tf_keras'] = None\n")
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")


@pytest.mark.usefixtures("without_tf_keras")
def test_what_only_tf_keras_loads_is_explained_where_that_is_missing(models: Path, tmp_path: Path) -> None:
    with pytest.raises(SavedModelError, match=r"saved by Keras 2.*Keras 3.*sightpost\[legacy\].*model\.export"):
        ask(models / "mobilenet.h5", tmp_path)


def test_a_model_whose_weights_are_zero_did_not_load(models: Path, tmp_path: Path) -> None:
    with pytest.raises(SavedModelError, match="all of its weights are zero"):
        ask(models / "zero.h5", tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("weights.h5", "holds weights only"),
        ("new.weights.h5", "holds weights only"),
        ("labels.txt", "is no saved Keras model"),
        ("channels_first.h5", "channels_first"),
    ],
)
def test_what_cannot_be_converted_is_refused_before_it_is_loaded(
    models: Path, tmp_path: Path, name: str, words: str
) -> None:
    with pytest.raises(SavedModelError, match=words):
        ask(models / name, tmp_path)


def test_what_is_no_picture_model_is_refused_with_its_inputs(models: Path, tmp_path: Path) -> None:
    with pytest.raises(SavedModelError, match=r"takes 2 inputs.*age \(any, 4\) float32"):
        ask(models / "two_inputs.h5", tmp_path)


# What must not run


@pytest.mark.parametrize("name", ["lambda.h5", "lambda2.keras", "lambda3.keras"])
@pytest.mark.parametrize("action", ["inspect", "load", "export"])
def test_code_inside_a_model_does_not_run_unless_it_is_trusted(
    models: Path, tmp_path: Path, name: str, action: str
) -> None:
    sentinel = models / "ran"
    sentinel.unlink(missing_ok=True)
    if action == "inspect":
        answer = ask(models / name, tmp_path, action=action)
        assert answer.inspection is not None
        assert "holds Python code" in answer.inspection.dangers[0]
    else:
        with pytest.raises(UntrustedModelError, match=r"could run code.*Lambda.*--trust"):
            ask(models / name, tmp_path, action=action, mode="raw", classes=3)
    assert not sentinel.exists()


def test_the_same_code_does_run_when_it_is_trusted(models: Path, tmp_path: Path) -> None:
    sentinel = models / "ran"
    sentinel.unlink(missing_ok=True)
    ask(models / "lambda.h5", tmp_path, trust=True)
    assert sentinel.exists()  # so the test above can fail
    sentinel.unlink()


def test_a_model_that_crashes_its_process_gives_a_message(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRASH", "1")
    with pytest.raises(SavedModelError, match=r"crash\.h5: the process that loaded it was ended by SIGABRT"):
        ask(models / "crash.h5", tmp_path, trust=True)


def test_a_model_that_takes_too_long_is_given_up(models: Path, tmp_path: Path) -> None:
    request = Request(action="load", path=models / "cnn.h5", folder=tmp_path)
    with pytest.raises(SavedModelError, match=r"gave up after 0 s.*--time-limit"):
        ask_child(request, time_limit_s=0.2)


def test_a_file_named_like_a_library_beside_the_model_is_not_run(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("keras", "h5py", "numpy", "json"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert ask(models / "cnn.h5", tmp_path, action="inspect").inspection is not None
    assert not (tmp_path / "ran").exists()


# The whole command


def test_a_keras_2_network_becomes_a_proven_model_file(models: Path, tmp_path: Path) -> None:
    out = tmp_path / "colours.tflite"
    picture = models / "pictures/blue/1.png"
    done = convert(models, "cnn2.keras", out, "--mode", "0..1", "--labels", models / "labels.txt", "--json",
                   "--picture", picture)  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["kind"], result["labels"], result["saved_by"]) == ("classify", list(LABELS), "Keras 2.21.0")
    assert result["loaded_by"].startswith("tf-keras")
    assert result["float"]["accuracy"] == 1.0
    assert result["int8"]["accuracy"] >= 0.95
    assert result["agreement"] >= 0.95
    assert result["picture"]["answer"][0][0] == "blue"
    assert "Conv2D" in done.stderr  # the summary
    assert "tried before: Keras 3" in done.stderr
    model = Model.load(out)
    card = model.file.card
    assert card is not None
    assert card.golden is not None
    assert card.provenance["converted_from"]["format"] == "keras"
    for index, label in enumerate(LABELS):
        prediction = model.predict(read_picture(models / f"pictures/{label}/2.png"))
        assert int(np.argmax(prediction.scores)) == index
    classified = command("sightpost", "classify", picture, "--model", out)
    assert classified.stdout.split()[1] == "blue"


def test_a_big_functional_network_keeps_its_answers_through_caffe_scaling(models: Path, tmp_path: Path) -> None:
    """Its float form is compared with the saved model itself before anything is written."""
    out = tmp_path / "m.tflite"
    done = convert(models, "mobilenet.h5", out, "--mode", "caffe", "--labels", models / "labels.txt", "--json",
                   "--min-agreement", "0")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loaded_by"].startswith("tf-keras")
    assert Model.load(out).spec.height_px == 96


def test_a_network_without_its_head_gives_feature_vectors_when_told(models: Path, tmp_path: Path) -> None:
    out = tmp_path / "features.tflite"
    done = convert(models, "features.h5", out, "--mode", "0..1", "--kind", "embed", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kind"] == "embed"
    assert result["cosine_min"] > 0.98
    embedding = Model.load(out).predict(read_picture(models / "pictures/red/1.png")).embedding
    assert embedding is not None
    assert embedding.shape == (16,)


def test_a_model_of_any_size_and_one_output_becomes_binary_at_the_size_told(models: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.tflite"
    (tmp_path / "two.txt").write_text("no\nyes\n")
    done = convert(models, "any_size_binary.h5", out, "--mode", "torch", "--labels", tmp_path / "two.txt",
                   "--size", "40x48", "--min-agreement", "0")  # fmt: skip
    assert done.returncode == 0, done.stderr
    model = Model.load(out)
    assert (model.kind, model.spec.height_px, model.spec.width_px) == ("binary", 40, 48)
    assert model.predict(read_picture(models / "pictures/red/1.png")).scores.sum() == pytest.approx(1, abs=1e-5)


def test_a_labels_file_of_another_length_is_refused_and_nothing_is_written(models: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("one\ntwo\nthree\nfour\n")
    out = tmp_path / "x.tflite"
    done = convert(models, "cnn_saved", out, "--mode", "0..1", "--labels", tmp_path / "labels.txt")
    assert (done.returncode, out.exists()) == (65, False)
    assert "4 labels do not match the model's 3 outputs" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--labels", "L"), 64, "--mode tf, caffe, torch, raw or 0..1"),
        (("--mode", "tf"), 64, "--labels FILE"),
        (("--mode", "tf", "--labels", "L", "--kind", "embed"), 64, "contradict"),
        (("--mode", "caffe", "--labels", "L", "--color", "bgr"), 64, "leave --color out"),
        (("--mode", "tf", "--labels", "L", "--picture", "L"), 65, "is not a picture"),
        (("--mode", "tf", "--labels", "/no/such/file"), 65, "/no/such/file"),
    ],
)
def test_nothing_is_guessed(models: Path, tmp_path: Path, flags: tuple[str, ...], code: int, words: str) -> None:
    given = [models / "labels.txt" if flag == "L" else flag for flag in flags]
    done = convert(models, "cnn.h5", tmp_path / "x.tflite", *given, stdin=subprocess.DEVNULL)
    assert done.returncode == code
    assert words in done.stderr.splitlines()[-1]
    assert done.stdout == ""


def test_the_model_itself_is_never_overwritten(models: Path) -> None:
    before = (models / "cnn.h5").read_bytes()
    done = convert(models, "cnn.h5", models / "cnn.h5", "--mode", "tf", "--labels", models / "labels.txt")
    assert (done.returncode, (models / "cnn.h5").read_bytes()) == (64, before)


def test_a_dangerous_model_is_refused_by_the_command_before_anything_is_asked(models: Path, tmp_path: Path) -> None:
    done = convert(models, "lambda.h5", tmp_path / "x.tflite", stdin=subprocess.DEVNULL)
    assert done.returncode == 77
    assert "Lambda" in done.stderr
    assert "--trust" in done.stderr
    assert not (models / "ran").exists()


def test_a_person_at_a_terminal_is_asked(models: Path, tmp_path: Path) -> None:
    words = [COMMANDS / "sightpost-train", "convert", models / "cnn.h5", "--out", tmp_path / "x.tflite"]
    ours, theirs = pty.openpty()
    try:
        os.write(ours, b"guess\ncaffe\n/no/such/labels.txt\n/no/such/folder\n")
        done = subprocess.run(
            list(map(str, words)), stdin=theirs, capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert "please answer one of: tf, caffe, torch" in done.stderr
    assert "/no/such/labels.txt" in done.stderr.splitlines()[-1]
    assert done.returncode == 65
