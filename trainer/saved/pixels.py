"""What a pixel becomes before a model sees it, by the definitions of Keras itself, as numbers and inside the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.saved.errors import SavedModelError

if TYPE_CHECKING:
    import numpy.typing as npt

    from trainer.saved.protocol import PixelMode

_COLOURS = 3
_WHITE = 255.0


def scale(pixels: npt.NDArray[Any], mode: PixelMode) -> npt.NDArray[np.float32]:
    """Scale pictures ``(n, H, W, C)`` 0…255, RGB or grey, as the model's training did.

    Raises:
        SavedModelError: the mode needs colours and there are none.
    """
    values = pixels.astype(np.float32)
    if mode == "raw":
        return values
    if mode == "0..1":
        return values / np.float32(_WHITE)
    if mode != "tf" and pixels.shape[-1] != _COLOURS:
        raise SavedModelError(f"--mode {mode} is for colour pictures, and this model takes grey ones; tf, raw or 0..1?")
    from keras.applications.imagenet_utils import preprocess_input

    return np.asarray(preprocess_input(values, data_format="channels_last", mode=mode), dtype=np.float32)


def as_affine(mode: PixelMode, channels: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The same as ``pixels @ matrix + offset``, found by asking ``scale`` about black and about each pure colour.

    Returns:
        matrix ``(channels, channels)`` and offset ``(channels,)``.
    """
    probes = np.zeros((channels + 1, 1, 1, channels), dtype=np.float32)
    for channel in range(channels):
        probes[channel + 1, 0, 0, channel] = _WHITE
    answers = scale(probes, mode).reshape(channels + 1, channels).astype(np.float64)
    matrix = (answers[1:] - answers[0]) / _WHITE
    return matrix.astype(np.float32), answers[0].astype(np.float32)


def in_graph(pixels: Any, mode: PixelMode, channels: int) -> Any:  # noqa: ANN401  TensorFlow has no types
    """Append the scaling to ``(n, H, W, C) float32``: a fixed 1x1 convolution, which int8 keeps almost exactly."""
    import tensorflow as tf

    if mode == "raw":
        return pixels
    matrix, offset = as_affine(mode, channels)
    if np.count_nonzero(matrix - np.diag(np.diagonal(matrix))) == 0:
        scaled = tf.nn.depthwise_conv2d(pixels, np.diagonal(matrix).reshape(1, 1, channels, 1), [1, 1, 1, 1], "VALID")
    else:
        scaled = tf.nn.conv2d(pixels, matrix.reshape(1, 1, channels, channels), 1, "VALID")
    return tf.nn.bias_add(scaled, offset)
