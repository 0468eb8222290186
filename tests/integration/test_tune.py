"""The whole search with the real commands' parts, on a small backbone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from trainer.recipe import load_recipe

SIDE_PX = 32
COMMAND = [sys.executable, "-c", "import sys; from trainer.cli import main; sys.exit(main())"]
RECIPE = """
[backbone]
name = "mobilenet"
alpha = 0.25
size_px = 32
weights = "{weights}"
[augment]
views = 1
[split]
validation = 0.2
[train]
effort = "quick"
epochs = 8
[tune]
"head.dropout.rate" = {{ low = 0.0, high = 0.5 }}
"train.learning_rate" = {{ low = 1e-3, high = 1e-1, log = true }}
"augment.views" = [1, 2]
"""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of two classes, weights, and a recipe."""
    keras = pytest.importorskip("keras")
    pytest.importorskip("optuna")
    folder = tmp_path_factory.mktemp("task")
    rng = np.random.default_rng(3)
    for label, brightest in (("dark", 120), ("light", 255)):
        (folder / "pictures" / label).mkdir(parents=True)
        for number in range(20):
            image = rng.integers(brightest - 90, brightest, (40, 40, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / "pictures" / label / f"{number}.png"), image)
    keras.utils.set_random_seed(1)
    model = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(SIDE_PX, SIDE_PX, 3))
    # A network that was never trained makes a picture fainter from layer to layer, until nothing can be told by it.
    model.set_weights([strong(weights) for weights in model.get_weights()])
    model.save_weights(folder / "small.weights.h5")
    (folder / "recipe.toml").write_text(RECIPE.format(weights=folder / "small.weights.h5"))
    return folder


def strong(weights: np.ndarray) -> np.ndarray:
    """Kernels as He's rule has them, so that a signal stays as it is; Glorot's counts a depthwise one's channels in."""
    if weights.ndim != 4:
        return weights
    return weights * np.float32(np.sqrt(weights.shape[2] + 1) if weights.shape[3] == 1 else np.sqrt(2))


def tune(task: Path, out: Path, *more: str) -> list[str]:
    return [*COMMAND, "tune", str(task / "pictures"), "--recipe", str(task / "recipe.toml"), "--out", str(out), *more]


def trials_in(study: Path) -> int:
    """Trials begun so far, as the journal tells (operation 4 of Optuna's journal creates one)."""
    return study.read_text().count('"op_code":4,') if study.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_search_goes_on_in_two_processes_and_its_best_recipe_gives_that_trial_again(
    task: Path, tmp_path: Path
) -> None:
    out, study = tmp_path / "best.toml", tmp_path / "best.study"
    with subprocess.Popen(tune(task, out, "--trials", "9"), stderr=subprocess.DEVNULL, start_new_session=True) as first:
        deadline = time.monotonic() + 400
        while trials_in(study) < 3 and first.poll() is None:
            assert time.monotonic() < deadline, "no three trials in time"
            time.sleep(0.05)
        os.killpg(first.pid, signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    assert not out.exists()

    pair = [
        subprocess.Popen(
            tune(task, out, "--trials", "9", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=600) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], said
    last = max((json.loads(out_text) for out_text, _ in said), key=lambda result: len(result["trials"]))
    states = [row["state"] for row in last["trials"]]
    assert states.count("complete") + states.count("pruned") + states.count("running") == 9
    assert "its process died" in [row["reason"] for row in last["trials"]]
    assert (tmp_path / "best.html").read_text().startswith("<!doctype html>")
    assert not list(tmp_path.glob("*.alive"))

    finished = json.loads(said[0][0] if last is not None else "{}")
    assert finished["best"]["state"] == "complete"
    recipe = load_recipe(out)
    assert recipe.tune == {}
    from trainer.data import scan
    from trainer.progress import Steps
    from trainer.split import split
    from trainer.trial import Bench

    data = scan(task / "pictures")
    parts = split(data, recipe.split, np.random.default_rng(recipe.seed))
    again = Bench(data, parts, tmp_path / "again", Steps()).run(recipe, on_look=lambda _done, _loss: None)
    complete = {row["loss"]: row["accuracy"] for row in last["trials"] if row["state"] == "complete"}
    best_loss = min(complete)
    assert best_loss < 0.65, "a guess has 0.69"
    assert again.loss == pytest.approx(best_loss, rel=1e-5)
    assert again.accuracy == complete[best_loss]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_writes_the_best_so_far(task: Path, tmp_path: Path) -> None:
    out, study = tmp_path / "best.toml", tmp_path / "kept"
    with subprocess.Popen(
        tune(task, out, "--minutes", "30", "--study", str(study)),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 400
        while trials_in(study) < 3 and process.poll() is None:
            assert time.monotonic() < deadline, "no three trials in time"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "best.toml" in said
    assert load_recipe(out).backbone.alpha == 0.25


def test_ctrl_c_that_a_library_swallows_ends_the_search_at_the_next_look() -> None:
    pytest.importorskip("optuna")
    from trainer.tune import _Interrupted, _Interruption

    before = signal.getsignal(signal.SIGINT)
    with _Interruption() as interruption:
        interruption.heed()
        with pytest.raises(_Interrupted):  # and it goes no further, as where Python says "exception ignored in"
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(_Interrupted):
            interruption.heed()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_recipe_that_cannot_be_trained_ends_the_search_with_one_line(task: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "wrong.toml"
    recipe.write_text('[backbone]\nweights = "/nowhere"\n')
    command = [*COMMAND, "tune", str(task / "pictures"), "--recipe", str(recipe), "--out", str(tmp_path / "b.toml")]
    done = subprocess.run([*command, "--trials", "5"], capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 66
    assert "no such weights file or folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "b.toml").exists()
