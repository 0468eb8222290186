"""Recipes and weights: refused clearly, or taken exactly."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ConfigError
from trainer.backbones import BACKBONES, kind_of, resolve_weights
from trainer.cli import main
from trainer.errors import WeightsError
from trainer.head_recipe import AveragePool, Dense, Dropout, HeadRecipe, Sigmoid
from trainer.parameters import parameters, with_parameters
from trainer.recipe import BackboneRecipe, Recipe, load_recipe

RECIPES = sorted((Path(__file__).parents[2] / "examples" / "recipes").glob("*.toml"))
DEMO = Path(__file__).parents[2] / "examples" / "demo" / "recipe.toml"


def test_an_empty_recipe_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("")
    assert load_recipe(tmp_path / "r.toml") == Recipe()


def test_the_demonstrations_recipe_loads() -> None:
    assert load_recipe(DEMO).backbone.weights == "none"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_example_loads(path: Path) -> None:
    load_recipe(path)


def test_the_default_example_says_what_the_defaults_are() -> None:
    [path] = [path for path in RECIPES if path.stem == "default"]
    assert load_recipe(path) == Recipe()


def test_every_parameter_of_every_block_has_a_name() -> None:
    [path] = [path for path in RECIPES if path.stem == "inceptionv3-binary"]
    recipe = load_recipe(path)
    assert parameters(recipe)["head.hidden.units"] == 1024
    changed = with_parameters(recipe, {"head.hidden.units": 64, "head.dropout.rate": 0.1, "finetune.blocks": 1})
    assert changed.head == HeadRecipe(
        blocks=(
            AveragePool(name="pool"),
            Dense(name="hidden", units=64),
            Dropout(name="dropout", rate=0.1),
            Sigmoid(name="answer"),
        )
    )
    assert changed.finetune.blocks == 1
    assert with_parameters(changed, parameters(recipe)) == recipe


@pytest.mark.parametrize(("kind", "answer"), [("multilabel", Sigmoid), ("binary", Sigmoid), ("embed", AveragePool)])
def test_another_kind_brings_its_own_head_unless_one_was_chosen(kind: str, answer: type) -> None:
    assert isinstance(with_parameters(Recipe(), {"kind": kind}).head.blocks[-1], answer)
    chosen = with_parameters(Recipe(), {"head.dropout.rate": 0.5})
    with pytest.raises(ConfigError, match="head"):
        with_parameters(chosen, {"kind": kind})


def test_the_head_of_another_kind_can_be_set_with_it() -> None:
    recipe = with_parameters(Recipe(), {"kind": "multilabel", "head.dropout.rate": 0.5})
    assert recipe.head.blocks[1] == Dropout(name="dropout", rate=0.5)


def test_a_parameter_that_is_none_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no parameter 'head.dropuot.rate'; did you mean 'head\."):
        with_parameters(Recipe(), {"head.dropuot.rate": 0.3})


def test_blocks_without_a_name_get_one_each(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        "head.blocks = [{kind='flatten'}, {kind='dropout'}, {kind='dropout', rate=0.1}, {kind='softmax'}]"
    )
    names = [block.name for block in load_recipe(tmp_path / "r.toml").head.blocks]
    assert names == ["flatten", "dropout", "dropout_2", "softmax"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[backbon]", "backbon: unknown key; did you mean 'backbone'?"),
        ("[backbone]\nsize = 3", "backbone.size: unknown key; did you mean 'size_px'?"),
        ("[train]\nepochs = 'many'", "train.epochs: expected `int`, got `str`"),
        ("[split]\ntest = 2", "split.test: expected `float` <= 0.45"),
        ("[[head.blocks]]\nkind = 'dens'", "head.blocks[0].kind: invalid value 'dens'"),
        ("[[head.blocks]]\nkind = 'dense'\nunits = 3", "head.blocks: must begin with average_pool"),
        ("head.blocks = [{kind='flatten'}, {kind='softmax'}]\nkind = 'binary'", "must end with sigmoid"),
        ("head.blocks = [{kind='flatten'}, {kind='sigmoid'}]", "must end with softmax"),
        ("head.blocks = [{kind='flatten'}, {kind='max_pool'}, {kind='softmax'}]", "max_pool cannot stand in the"),
        ("head.blocks = [{kind='flatten', name='a'}, {kind='softmax', name='a'}]", "two blocks are called 'a'"),
        ("head.blocks = [{kind='flatten'}, {kind='softmax'}]\nkind = 'embed'", "ends with its pooling"),
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


@pytest.mark.parametrize(
    "flags",
    [
        ["--epochs", "0"],
        ["--size", "7"],
        ["--alpha", "-1"],
        ["--backbone", "vgg61"],
        ["--set", "head.dropout.rate=2"],
        ["--set", "head.dropuot.rate=0.2"],
    ],
)
def test_flags_are_checked_like_the_recipe(
    tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    code = main(["fit", str(tmp_path), "--out", str(tmp_path / "m.tflite"), "--weights", "none", *flags])
    assert code in {65, 78}
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "m.tflite").exists()
