"""Recipes and weights: refused clearly, or taken exactly."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ConfigError
from trainer.backbones import BACKBONES, kind_of, resolve_weights
from trainer.cli import main
from trainer.errors import WeightsError
from trainer.recipe import BackboneRecipe, Recipe, load_recipe

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "recipe.toml"


def test_an_empty_recipe_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("")
    assert load_recipe(tmp_path / "r.toml") == Recipe()


def test_the_demonstrations_recipe_loads() -> None:
    assert load_recipe(DEMO).backbone.weights == "none"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[backbon]", "backbon: unknown key; did you mean 'backbone'?"),
        ("[backbone]\nsize = 3", "backbone.size: unknown key; did you mean 'size_px'?"),
        ("[head]\nepochs = 'many'", "head.epochs: expected `int`, got `str`"),
        ("[split]\ntest = 2", "split.test: expected `float` <= 0.45"),
        ("seed =", "not valid TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_by_its_key(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_recipe(tmp_path / "r.toml")
    assert message in str(error.value)


def test_every_listed_backbone_is_in_keras_applications() -> None:
    keras = pytest.importorskip("keras")
    assert [kind.constructor for kind in BACKBONES.values() if not hasattr(keras.applications, kind.constructor)] == []


def test_an_unknown_backbone_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'mobilenetv2'"):
        kind_of(BackboneRecipe(name="mobilnetv2"))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    for name in ("mobilenetv2_0.35_224", "mobilenetv2_1.0_224", "mobilenetv1_0.25", "mobilenetv3small_0.75"):
        (tmp_path / f"imagenet_{name}_notop.weights.h5").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(("alpha", "file"), [(0.35, "mobilenetv2_0.35"), (1.0, "mobilenetv2_1.0")])
def test_a_folder_of_weights_is_searched_by_name_and_alpha(weights: Path, alpha: float, file: str) -> None:
    found = resolve_weights(BackboneRecipe(alpha=alpha, weights=str(weights)))
    assert found is not None
    assert file in found


def test_weights_that_are_not_there_are_named(weights: Path) -> None:
    with pytest.raises(WeightsError, match=r"no file fits mobilenetv2 alpha 0\.5 \(found: imagenet_"):
        resolve_weights(BackboneRecipe(alpha=0.5, weights=str(weights)))
    with pytest.raises(WeightsError, match="no such weights file or folder"):
        resolve_weights(BackboneRecipe(weights=str(weights / "nowhere")))


@pytest.mark.parametrize("flags", [["--epochs", "0"], ["--size", "7"], ["--alpha", "-1"], ["--backbone", "vgg61"]])
def test_flags_are_checked_like_the_recipe(
    tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    code = main(["fit", str(tmp_path), "--out", str(tmp_path / "m.tflite"), "--weights", "none", *flags])
    assert code in {65, 78}
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "m.tflite").exists()
