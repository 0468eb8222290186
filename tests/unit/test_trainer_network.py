"""Backbones by blocks, and the graph from raw pixels to scores."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from edge.errors import ConfigError
from trainer.backbones import BACKBONES, build_backbone
from trainer.recipe import BackboneRecipe, Recipe

keras = pytest.importorskip("keras")

from trainer.backbone_blocks import block_names, unfreeze  # noqa: E402  they need Keras
from trainer.network import assemble, build_network, joined, twin  # noqa: E402
from trainer.scaling import scale_pixels  # noqa: E402

TINY = BackboneRecipe(weights="none", size_px=64)


def backbone(name: str, alpha: float | None = None, size_px: int = 96) -> keras.Model:
    return build_backbone(BackboneRecipe(name=name, alpha=alpha, weights="none", size_px=size_px))


@pytest.mark.parametrize(
    ("name", "count", "last"),
    [
        ("mobilenetv2", 18, ["block_15", "block_16", "top"]),
        ("mobilenet", 13, ["conv_12", "conv_13"]),
        ("vgg16", 5, ["block4", "block5"]),
        ("resnet50", 16, ["conv5_block2", "conv5_block3"]),
        ("inceptionv3", 11, ["mixed9", "mixed10"]),
    ],
)
@pytest.mark.slow
def test_backbones_have_the_blocks_that_their_authors_gave_them(name: str, count: int, last: list[str]) -> None:
    names = list(dict.fromkeys(block_names(backbone(name))))
    assert names[-len(last) :] == last
    assert count <= len(names) <= count + 1


@pytest.mark.parametrize("constructor", sorted({kind.constructor for kind in BACKBONES.values()}))
def test_pixels_are_scaled_as_the_backbones_authors_scale_them(constructor: str) -> None:
    """Their own function lies beside each constructor of ``keras.applications``."""
    authors = sys.modules[getattr(keras.applications, constructor).__module__].preprocess_input
    [mode] = {kind.mode for kind in BACKBONES.values() if kind.constructor == constructor}
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3)).astype(np.float32)
    ours = scale_pixels(keras.ops.convert_to_tensor(pixels), mode)
    np.testing.assert_allclose(np.asarray(ours), authors(pixels.copy()), atol=1e-3)


def test_the_last_blocks_train_and_batch_normalization_does_not() -> None:
    model = backbone("mobilenetv2", 0.35, 64)
    assert unfreeze(model, 2) == ["block_16", "top"]
    trained = {layer.name for layer in model.layers if layer.trainable and layer.trainable_weights}
    assert trained == {"block_16_expand", "block_16_depthwise", "block_16_project", "Conv_1"}
    unfreeze(model, 2, batch_norm=True)
    assert model.get_layer("Conv_1_bn").trainable
    assert not model.get_layer("block_15_project").trainable
    unfreeze(model, 0)
    assert not model.trainable_weights
    unfreeze(model, "all")
    assert model.get_layer("Conv1").trainable


def test_more_blocks_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"finetune.blocks: .* has 18 blocks"):
        unfreeze(backbone("mobilenetv2", 0.35, 64), 99)


@pytest.mark.parametrize(("kind", "outputs"), [("classify", 3), ("binary", 1), ("multilabel", 3)])
def test_scores_are_what_the_kind_says(kind: str, outputs: int) -> None:
    network = build_network(Recipe(backbone=TINY, kind=kind), 3 if kind != "binary" else 2)  # type: ignore[arg-type]
    pictures = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3)).astype(np.uint8)
    answers = assemble(network, 1.5).predict_on_batch(pictures.astype(np.float32))
    embeddings = network.embed(pictures)
    assert np.asarray(answers["embedding"]) == pytest.approx(embeddings, abs=1e-5)
    logits = network.logits(embeddings) / 1.5
    assert logits.shape == (4, outputs)
    expected = (
        np.exp(logits) / np.exp(logits).sum(1, keepdims=True) if kind == "classify" else 1 / (1 + np.exp(-logits))
    )
    assert np.asarray(answers["scores"]) == pytest.approx(expected, abs=1e-5)


def test_an_embed_model_gives_its_embedding_alone() -> None:
    model = assemble(build_network(Recipe(backbone=TINY, kind="embed"), 0), 1.0)
    assert list(model.predict_on_batch(np.zeros((1, 64, 64, 3), np.float32))) == ["embedding"]


@pytest.mark.parametrize(("size_px", "dtype"), [(64, None), (32, None), (64, "mixed_float16")])
def test_the_model_that_trains_is_the_network_at_another_size_or_precision(size_px: int, dtype: str | None) -> None:
    recipe = Recipe(backbone=TINY)
    network = build_network(recipe, 3)
    model = joined(twin(network, size_px, dtype=dtype), recipe, size_px)
    model.set_weights(joined(network, recipe, 64).get_weights())
    pictures = np.random.default_rng(0).integers(0, 256, (2, size_px, size_px, 3)).astype(np.float32)
    logits = np.asarray(model.predict_on_batch(pictures))
    assert logits.dtype == np.float32
    if size_px == 64:
        expected = network.logits(network.embed(pictures.astype(np.uint8)))
        assert logits == pytest.approx(expected, abs=2e-2 if dtype else 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size_px", "width"), [("vgg16", 224, 512), ("inceptionv3", 299, 2048)])
def test_large_backbones_build_at_their_own_size(name: str, size_px: int, width: int) -> None:
    network = build_network(Recipe(backbone=BackboneRecipe(name=name, size_px=size_px, weights="none")), 3)
    assert network.embed(np.zeros((1, size_px, size_px, 3), np.uint8)).shape == (1, width)
