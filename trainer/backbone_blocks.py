"""The blocks of a backbone, so that the last few of them can train on while the rest stays as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge.errors import ConfigError

if TYPE_CHECKING:
    import keras

_NAMED = re.compile(
    r"stage_\d+_block_\d+"  # ConvNeXt
    r"|conv\d+_block\d+"  # ResNet, DenseNet
    r"|expanded_conv(?:_\d+)?"  # MobileNetV2's first, MobileNetV3
    r"|conv_(?:dw|pw|pad)_\d+"  # MobileNet
    r"|block_?\d+[a-z]?(?![a-z])"  # MobileNetV2, VGG, Xception, EfficientNet
    r"|block\d+_\d+|mixed_?\d+[ab]?$"  # Inception-ResNet, Inception
)
"""How the layers of ``keras.applications`` are named after the block that they belong to."""
_LAST = "top"


def block_names(backbone: keras.Model) -> list[str]:
    """The block of each layer, in the order of the layers; one that has no name of a block belongs to the next one."""
    own = [_own_block(layer.name) for layer in backbone.layers]
    following = _LAST
    names: list[str] = []
    for name in reversed(own):
        following = name or following
        names.append(following)
    return names[::-1]


def _own_block(layer_name: str) -> str | None:
    found = _NAMED.search(layer_name)
    return re.sub(r"conv_(?:dw|pw|pad)_", "conv_", found[0]) if found else None


def unfreeze(backbone: keras.Model, last: int | str, *, batch_norm: bool = False) -> list[str]:
    """Let the last blocks of a backbone train, and nothing before them; the names of those blocks.

    Args:
        backbone: of ``keras.applications``.
        last: how many blocks, or ``all``.
        batch_norm: whether batch normalization trains too; a few hundred pictures would spoil good statistics.

    Raises:
        ConfigError: there are not that many blocks.
    """
    import keras

    names = block_names(backbone)
    blocks = list(dict.fromkeys(names))
    count = len(blocks) if last == "all" else int(last)
    if count > len(blocks):
        raise ConfigError(f"finetune.blocks: {backbone.name} has {len(blocks)} blocks; give at most that, or 'all'")
    trained = set(blocks[len(blocks) - count :])
    backbone.trainable = True
    for layer, name in zip(backbone.layers, names, strict=True):
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = name in trained and (batch_norm or not is_norm)
    return [name for name in blocks if name in trained]
