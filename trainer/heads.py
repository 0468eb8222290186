"""The blocks of a head as Keras layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer import head_recipe as recipe

if TYPE_CHECKING:
    import keras

LOGITS = "logits"
"""The layer that gives one value per class, before softmax or sigmoid."""


def pool(block: recipe.FirstBlock, features: Any) -> Any:  # noqa: ANN401  Keras tensors have no type
    """The vector of a backbone's map: ``(n, h, w, c)`` to ``(n, f)``; the layer is called ``embedding``."""
    from keras import layers

    makers: dict[type[recipe.FirstBlock], Any] = {
        recipe.Flatten: layers.Flatten,
        recipe.AveragePool: layers.GlobalAveragePooling2D,
        recipe.MaxPool: layers.GlobalMaxPooling2D,
    }
    return makers[type(block)](name="embedding")(features)


def build_head(blocks: tuple[recipe.AnyBlock, ...], *, width: int, outputs: int, seed: int) -> keras.Model:
    """From the vector to logits: ``(n, width) float32`` to ``(n, outputs) float32``.

    Args:
        blocks: all of the head's; the first one, the pooling, belongs to the extractor and is passed over.
        width: length of the vector.
        outputs: values that the answer needs.
        seed: of the first weights and the dropouts; it does not matter what was built before.
    """
    import keras

    keras.utils.set_random_seed(seed)
    vector = keras.Input((width,), dtype="float32", name="features")
    tensor = vector
    for position, block in enumerate(blocks[1:]):
        tensor = _layer(block, outputs, seed + position)(tensor)
    return keras.Model(vector, tensor, name="head")


def _layer(block: recipe.AnyBlock, outputs: int, seed: int) -> keras.layers.Layer:
    from keras import layers

    match block:
        case recipe.Dense():
            return layers.Dense(block.units, activation=block.activation, name=block.name)
        case recipe.BatchNorm():
            return layers.BatchNormalization(momentum=block.momentum, name=block.name)
        case recipe.Dropout():
            return layers.Dropout(block.rate, seed=seed, name=block.name)
        case _:
            # Float32 whatever the precision of the rest: the loss needs it.
            return layers.Dense(outputs, dtype="float32", name=LOGITS)


def apply_calibrated(head: keras.Model, vector: Any, temperature: float) -> Any:  # noqa: ANN401  as above
    """The head as a device runs it: no dropout, and the temperature folded into the weights of the last layer."""
    from keras import layers

    tensor = vector
    for layer in head.layers[1:]:
        if isinstance(layer, layers.Dropout):
            continue
        if layer.name == LOGITS:
            kernel, bias = layer.get_weights()
            scaled = layers.Dense(bias.shape[0], name="calibrated_logits")
            tensor = scaled(tensor)
            scaled.set_weights([kernel / temperature, bias / temperature])
        else:
            tensor = layer(tensor, training=False)
    return tensor
