"""Every recipe under examples/recipes is run for real: small, without pretrained weights, on drawn pictures."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.model import Model
from edge.model_card import ModelCard
from edge.preprocess import read_picture

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
TIME_LIMIT_S = 1700
SMALL = ("--weights", "none", "--no-report", "--set", "train.epochs=2", "--set", "finetune.epochs=1",
         "--set", "quantize.calibration_pictures=8")  # fmt: skip
COLORS_BGR = {"blue": (200, 60, 60), "green": (60, 200, 60), "red": (60, 60, 200)}


def draw(root: Path, *colors: str, each: int = 12) -> Path:
    rng = np.random.default_rng(0)
    for color in colors:
        (root / color).mkdir(parents=True)
        for number in range(each):
            noisy = np.array(COLORS_BGR[color]) + rng.normal(0, 40, (48, 64, 3))
            cv2.imwrite(str(root / color / f"{number:02}.png"), np.clip(noisy, 0, 255).astype(np.uint8))
    return root


def fitted(run: Run, tmp_path: Path, data: Path, recipe: str, *flags: object) -> tuple[Model, ModelCard]:
    out = tmp_path / "m.tflite"
    # What the weights of two epochs from nothing say is noise: the proof is tested elsewhere.
    done = run("sightpost-train", "fit", data, "--recipe", RECIPES / recipe, "--out", out, *SMALL, "--accept-drift",
               *flags, timeout_s=TIME_LIMIT_S)  # fmt: skip
    assert done.returncode == 0, done.stderr
    model = Model.load(out)
    assert model.file.card is not None
    return model, model.file.card


@pytest.mark.parametrize("recipe", ["default.toml", "quick.toml", "imbalance.toml"])
def test_three_colors_are_learnt_by(run: Run, tmp_path: Path, recipe: str) -> None:
    model, card = fitted(run, tmp_path, draw(tmp_path / "data", *COLORS_BGR), recipe, "--size", 64)
    assert (card.kind, card.labels) == ("classify", tuple(COLORS_BGR))
    assert model.predict(read_picture(tmp_path / "data/red/00.png")).scores.sum() == pytest.approx(1, abs=0.01)


def test_vgg16_gives_512_features_near_those_of_keras(run: Run, tmp_path: Path) -> None:
    model, card = fitted(run, tmp_path, draw(tmp_path / "data", "red", "blue"), "vgg16-features.toml", "--size", 64)
    assert card.kind == "embed"
    assert card.metrics["cosine_mean"] > 0.98
    embedding = model.predict(read_picture(tmp_path / "data/red/00.png")).embedding
    assert embedding is not None
    assert embedding.shape == (512,)
    done = run("sightpost", "embed", tmp_path / "data/red/00.png", "--model", tmp_path / "m.tflite", "--json")
    assert done.returncode == 0, done.stderr


def test_inceptionv3_answers_yes_or_no_from_a_stored_threshold_on(run: Run, tmp_path: Path) -> None:
    data = draw(tmp_path / "data", "green", "red", each=16)
    model, card = fitted(run, tmp_path, data, "inceptionv3-binary.toml", "--size", 96)
    assert (card.kind, card.labels) == ("binary", ("green", "red"))
    assert list(card.thresholds) == ["red"]
    head = card.provenance["recipe"]["head"]["blocks"]
    assert [block["kind"] for block in head] == ["average_pool", "dense", "dropout", "sigmoid"]
    assert model.predict(read_picture(data / "red/00.png")).label in card.labels


def test_resnet50_is_given_a_new_head(run: Run, tmp_path: Path) -> None:
    _, card = fitted(run, tmp_path, draw(tmp_path / "data", *COLORS_BGR), "resnet50-cifar10.toml", "--size", 64)
    assert card.provenance["recipe"]["backbone"]["name"] == "resnet50"


def test_a_head_of_named_blocks_and_then_the_last_blocks(run: Run, tmp_path: Path) -> None:
    data = draw(tmp_path / "data", *COLORS_BGR)
    named = ("--set", "head.hidden.units=8", "--set", "finetune.blocks=1")
    _, card = fitted(run, tmp_path, data, "staged-unfreezing.toml", "--size", 64, *named)
    assert card.provenance["recipe"]["head"]["blocks"][1]["units"] == 8
    assert card.provenance["recipe"]["finetune"]["blocks"] == 1


def test_a_table_of_pictures_that_show_several_things(run: Run, tmp_path: Path) -> None:
    draw(tmp_path / "data", *COLORS_BGR)
    rows = [f"data/{color}/{number:02}.png,{color}|{'even' if number % 2 else 'odd'}"
            for color in COLORS_BGR for number in range(12)]  # fmt: skip
    table = tmp_path / "table.csv"
    table.write_text("path,labels\n" + "\n".join(rows))
    _, card = fitted(run, tmp_path, table, "multilabel.toml", "--size", 64)
    assert card.kind == "multilabel"
    assert set(card.thresholds) == set(card.labels)


def test_each_recipe_is_in_the_table() -> None:
    text = (RECIPES / "README.md").read_text()
    for path in RECIPES.iterdir():
        assert path.name == "README.md" or f"({path.name})" in text
