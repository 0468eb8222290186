"""Backbones: the classification models of ``keras.applications``, each with its own way of scaling pixels."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edge.errors import ConfigError
from edge.strict import nearest
from trainer.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import keras

    from trainer.recipe import BackboneRecipe

DOWNLOAD_TIMEOUT_S = 15.0
"""How long a download may be silent."""

Mode = Literal["tf", "caffe", "torch", "raw"]
"""Pixel scaling by the names of ``keras.applications.imagenet_utils``; ``raw`` models scale inside themselves."""


@dataclass(frozen=True, slots=True)
class BackboneKind:
    """A family of ``keras.applications``: the name of its constructor and what its weights expect of a pixel."""

    constructor: str
    mode: Mode
    has_alpha: bool = False


_TF, _CAFFE, _TORCH, _RAW = (
    {"MobileNet": True, "MobileNetV2": True, "InceptionV3": False, "InceptionResNetV2": False, "Xception": False,
     "ResNet50V2": False, "ResNet101V2": False, "ResNet152V2": False, "NASNetMobile": False, "NASNetLarge": False},
    ("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"),
    ("DenseNet121", "DenseNet169", "DenseNet201"),
    {"MobileNetV3Small": True, "MobileNetV3Large": True,
     **{f"EfficientNetB{n}": False for n in range(8)},
     **{f"EfficientNetV2{n}": False for n in ("B0", "B1", "B2", "B3", "S", "M", "L")},
     **{f"ConvNeXt{n}": False for n in ("Tiny", "Small", "Base", "Large", "XLarge")}},
)  # fmt: skip

BACKBONES: dict[str, BackboneKind] = {
    **{name.lower(): BackboneKind(name, "tf", has_alpha=alpha) for name, alpha in _TF.items()},
    **{name.lower(): BackboneKind(name, "caffe") for name in _CAFFE},
    **{name.lower(): BackboneKind(name, "torch") for name in _TORCH},
    **{name.lower(): BackboneKind(name, "raw", has_alpha=alpha) for name, alpha in _RAW.items()},
}


def kind_of(recipe: BackboneRecipe) -> BackboneKind:
    """The family that a recipe names.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        return BACKBONES[recipe.name.lower()]
    except KeyError:
        raise ConfigError(f"backbone.name: no backbone {recipe.name!r}; {nearest(recipe.name, BACKBONES)}") from None


def build_backbone(recipe: BackboneRecipe) -> keras.Model:
    """A frozen backbone without its top, with its weights loaded; input ``(n, size_px, size_px, 3) float32``, scaled.

    Raises:
        ConfigError: unknown backbone.
        WeightsError: the weights are missing or do not fit.
    """
    import keras

    kind = kind_of(recipe)
    options: dict[str, Any] = {"include_top": False, "input_shape": (recipe.size_px, recipe.size_px, 3)}
    if kind.has_alpha and recipe.alpha is not None:
        options["alpha"] = recipe.alpha
    constructor = getattr(keras.applications, kind.constructor)
    weights = resolve_weights(recipe)
    try:
        with _connections_give_up():
            model = constructor(weights=weights, **options)
    except (ValueError, OSError, KeyError) as error:
        raise WeightsError(_weights_hint(recipe, weights, error)) from error
    except Exception as error:
        # Keras raises a bare Exception when a download fails.
        if "fetch failure" not in str(error):
            raise
        raise WeightsError(_weights_hint(recipe, weights, error)) from error
    model.trainable = False
    return model


@contextlib.contextmanager
def _connections_give_up() -> Iterator[None]:
    """Keras downloads weights without a time limit; behind a firewall it would hang."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def resolve_weights(recipe: BackboneRecipe) -> str | None:
    """What to hand to Keras: ``"imagenet"``, ``None``, or the path of a weights file.

    A folder is searched for the one file whose name holds the backbone and, where it has one, its alpha.

    Raises:
        WeightsError: there is no such file, or more than one fits.
    """
    if recipe.weights == "imagenet":
        return "imagenet"
    if recipe.weights == "none":
        return None
    path = Path(recipe.weights)
    if path.is_file():
        return str(path)
    if not path.is_dir():
        raise WeightsError(f"{path}: no such weights file or folder; give one, or 'imagenet', or 'none'")
    wanted = [recipe.name.lower(), *([f"_{recipe.alpha:g}", f"_{recipe.alpha}"] if kind_of(recipe).has_alpha else [])]
    files = sorted(file for suffix in ("*.h5", "*.keras") for file in path.glob(suffix))
    fitting = [file for file in files if _fits(file.name.lower(), wanted)]
    if len(fitting) != 1:
        found = ", ".join(file.name for file in fitting or files) or "no weights files at all"
        how_many = "several files fit" if fitting else "no file fits"
        described = recipe.name + (f" alpha {recipe.alpha}" if kind_of(recipe).has_alpha else "")
        raise WeightsError(f"{path}: {how_many} {described} (found: {found}); name the file itself")
    return str(fitting[0])


def weights_digest(recipe: BackboneRecipe) -> str | None:
    """What tells weights apart: of a file its content, since another one may take its place under the same name.

    Raises:
        WeightsError: as ``resolve_weights``.
    """
    weights = resolve_weights(recipe)
    is_file = weights is not None and Path(weights).is_file()
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest() if weights and is_file else weights


def _fits(file_name: str, wanted: list[str]) -> bool:
    name, alphas = wanted[0], wanted[1:]
    if not re.search(rf"{re.escape(name)}(?!_?v[2-9])", file_name):
        return False  # mobilenetv2 is no mobilenet, resnet50v2 no resnet50
    return not alphas or any(re.search(rf"{re.escape(alpha)}(?!\d|\.\d)", file_name) for alpha in alphas)


def _weights_hint(recipe: BackboneRecipe, weights: str | None, error: Exception) -> str:
    reason = " ".join(str(error).split())[:160]
    if weights == "imagenet":
        return (
            f"cannot get the ImageNet weights of {recipe.name} ({reason.split(' on http')[0]}); without internet, give "
            "a file or folder of weights with --weights PATH, or --weights none to start from scratch"
        )
    return f"{weights}: these weights do not fit {recipe.name} alpha {recipe.alpha} at {recipe.size_px} px ({reason})"
