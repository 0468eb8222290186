"""Everything that can be said of a saved model without loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.saved.errors import SavedModelError
from trainer.saved.formats import describe
from trainer.saved.protocol import Inspection
from trainer.saved.safety import dangers_in_config, dangers_in_program
from trainer.saved.weights import check_self_contained

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONTAINERS = frozenset({"Sequential", "Functional", "Model"})


def inspect(path: Path) -> Inspection:
    """Read a saved model: its format, who saved it, what is dangerous about it, what will be in the way.

    Raises:
        SavedModelError: no saved model, a damaged one, weights without an architecture, or one that refers to other
            files.
    """
    description = describe(path)
    if description.config is None:
        program = (path / "saved_model.pb").read_bytes()
        if not program:
            raise SavedModelError(f"{path}: its saved_model.pb is empty; copy the folder again")
        return Inspection(
            format=description.format,
            saved_by=description.saved_by,
            model_class="SavedModel",
            layers=0,
            dangers=dangers_in_program(program),
        )
    check_self_contained(path, description.format)
    layers = list(_layers(description.config))
    return Inspection(
        format=description.format,
        saved_by=description.saved_by,
        model_class=str(description.config["class_name"]),
        layers=len(layers),
        dangers=dangers_in_config(description.config),
        hints=tuple(_hints(layers)),
        obstacles=tuple(_obstacles(layers)),
    )


def _layers(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The layers of a model's configuration, those of models inside it included."""
    waiting = [model]
    while waiting:
        config = waiting.pop().get("config")
        # Keras 1 wrote a Sequential's layers as the configuration itself.
        layers = config if isinstance(config, list) else config.get("layers") if isinstance(config, dict) else None
        for layer in layers if isinstance(layers, list) else []:
            if isinstance(layer, dict) and layer.get("class_name") in _CONTAINERS:
                waiting.append(layer)
            elif isinstance(layer, dict):
                yield layer


def _settings(layer: dict[str, Any]) -> dict[str, Any]:
    config = layer.get("config")
    return config if isinstance(config, dict) else {}


def _hints(layers: list[dict[str, Any]]) -> Iterator[str]:
    for layer in layers:
        settings = _settings(layer)
        if layer.get("class_name") == "Rescaling":
            scale, offset = settings.get("scale"), settings.get("offset")
            yield f"it rescales its input itself (x × {scale} + {offset}), which speaks for --mode raw"
        if layer.get("class_name") == "Normalization":
            yield "it normalizes its input itself, which speaks for --mode raw"


def _obstacles(layers: list[dict[str, Any]]) -> Iterator[str]:
    first = next((layer for layer in layers if _settings(layer).get("data_format") == "channels_first"), None)
    if first is not None:
        name = _settings(first).get("name", first.get("class_name"))
        yield (
            f"its layer {name!r} wants the colours first (channels_first), which TFLite does not "
            "run; build it again with data_format='channels_last' and carry the weights over"
        )
