"""Pixel scaling inside the graph, so that a device hands raw pixels to the model and cannot scale them wrongly.

A fixed 1x1 convolution does it: through int8 it keeps 255 of 256 grey levels; a ``Rescaling`` layer keeps 171.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from trainer.backbones import Mode

# Means and deviations of ImageNet as keras.applications.imagenet_utils applies them.
_CAFFE_BGR_MEAN = (103.939, 116.779, 123.68)
_TORCH_RGB_MEAN = (0.485, 0.456, 0.406)
_TORCH_RGB_STD = (0.229, 0.224, 0.225)


def scale_pixels(pixels: Any, mode: Mode) -> Any:  # noqa: ANN401  Keras tensors have no type
    """Append a backbone's scaling to raw pixels, ``(n, H, W, 3) float32 RGB 0…255``; the weights are constant."""
    from keras import layers

    if mode == "raw":
        return pixels
    if mode == "caffe":
        swap = np.eye(3, dtype=np.float32)[::-1].reshape(1, 1, 3, 3)
        return layers.Conv2D(
            3,
            1,
            kernel_initializer=_constant(swap),
            bias_initializer=_constant(-np.array(_CAFFE_BGR_MEAN, np.float32)),
            trainable=False,
            name="scaling",
        )(pixels)
    if mode == "tf":
        mean = std = np.full(3, 0.5)  # x / 127.5 - 1
    else:
        mean, std = np.array(_TORCH_RGB_MEAN), np.array(_TORCH_RGB_STD)
    return layers.DepthwiseConv2D(
        1,
        depthwise_initializer=_constant((1 / (255 * std)).reshape(1, 1, 3, 1)),
        bias_initializer=_constant(-mean / std),
        trainable=False,
        name="scaling",
    )(pixels)


def _constant(values: npt.NDArray[np.floating[Any]]) -> Any:  # noqa: ANN401  as above
    def initialize(shape: tuple[int, ...], dtype: Any = None) -> Any:  # noqa: ANN401  as above
        import keras

        return keras.ops.convert_to_tensor(values.reshape(shape), dtype=dtype)

    return initialize
