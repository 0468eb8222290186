"""The recipe: all of what makes a model, in one TOML file; stored in the card, it gives the same weights again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from edge.strict import convert, read_toml

if TYPE_CHECKING:
    from pathlib import Path

Fraction = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the recipe: unknown keys are refused."""


class BackboneRecipe(_Table, frozen=True, kw_only=True):
    """``[backbone]``: a model of ``keras.applications`` without its top.

    ``weights`` is ``imagenet``, ``none``, or a file or folder of weights.
    """

    name: str = "mobilenetv2"
    alpha: Annotated[float, msgspec.Meta(gt=0, le=2)] | None = 0.35
    size_px: Annotated[int, msgspec.Meta(ge=32, le=1024)] = 224
    weights: str = "imagenet"


class InputRecipe(_Table, frozen=True, kw_only=True):
    """``[input]``: how a picture is brought to the backbone's size."""

    resize: Literal["stretch", "crop", "letterbox"] = "stretch"
    kernel: Literal["halving", "area", "linear"] = "halving"


class AugmentRecipe(_Table, frozen=True, kw_only=True):
    """``[augment]``: changed copies of each training picture, as a fixed camera would see them.

    ``light`` and ``color`` are the largest relative changes, ``shift`` the largest crop at an edge as a fraction of the
    size, ``noise`` the standard deviation in grey levels.
    """

    views: Annotated[int, msgspec.Meta(ge=0, le=64)] = 3
    light: Fraction = 0.25
    color: Fraction = 0.06
    shift: Annotated[float, msgspec.Meta(ge=0, le=0.4)] = 0.06
    noise: Annotated[float, msgspec.Meta(ge=0, le=50)] = 4.0
    flip: bool = False


class HeadRecipe(_Table, frozen=True, kw_only=True):
    """``[head]``: what is trained on top of the frozen backbone."""

    dropout: Fraction = 0.2
    epochs: Count = 60
    batch_size: Count = 64
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 2e-3
    weight_decay: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1e-3


class QuantizeRecipe(_Table, frozen=True, kw_only=True):
    """``[quantize]``: how many training pictures calibrate the ranges, and how far int8 may fall below float."""

    calibration_pictures: Annotated[int, msgspec.Meta(ge=8, le=5000)] = 100
    tolerance: Fraction = 0.02


class Recipe(_Table, frozen=True, kw_only=True):
    """The whole recipe; every key has a default that suits a fixed camera.

    ``tune`` says what ``sightpost-train tune`` may vary (see ``trainer.search_space``); ``fit`` does not look at it.
    """

    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 1
    holdout: Annotated[float, msgspec.Meta(gt=0, lt=0.9)] = 0.2
    backbone: BackboneRecipe = BackboneRecipe()
    input: InputRecipe = InputRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    head: HeadRecipe = HeadRecipe()
    quantize: QuantizeRecipe = QuantizeRecipe()
    tune: dict[str, Any] = {}


def load_recipe(path: Path) -> Recipe:
    """Read a recipe file strictly.

    Raises:
        ConfigError: it cannot be read, or a key is unknown, of a wrong type or value.
    """
    return convert(read_toml(path, what="recipe"), Recipe, path="", where=str(path))
