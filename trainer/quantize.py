"""From a Keras model to an int8 ``.tflite``: float conversion by TensorFlow, quantization by ai-edge-quantizer.

TensorFlow's own calibrator widens the ranges of in-place buffers, and calibrates nothing at all, silently, when the
representative set is wrong; the quantizer used here is deterministic and takes the plain minimum and maximum.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import keras

    from edge.frame import Image

_BITS = 8
_THREADS = 2


def to_float_tflite(model: keras.Model) -> bytes:
    """Convert a Keras model to a float32 ``.tflite``; input raw pixels, outputs named as in the model."""
    import tensorflow as tf

    return bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def to_int8_tflite(float_tflite: bytes, calibration: Sequence[Image]) -> bytes:
    """Quantize to int8 weights (per channel) and activations, with a uint8 input of scale 1 and float outputs.

    The softmax stays in float: int8 would leave it 256 steps, and it costs nothing.

    Args:
        float_tflite: from ``to_float_tflite``.
        calibration: prepared pictures, ``(H, W, 3) uint8`` each, of the training split.
    """
    from ai_edge_quantizer import calibrator, qtyping, quantizer
    from ai_edge_quantizer.utils import qsv_utils

    operation = qtyping.TFLOperationName
    work = quantizer.Quantizer(float_tflite)
    work.update_quantization_recipe(".*", operation.ALL_SUPPORTED, _int8(qtyping, qtyping.TensorDataType.INT))
    work.update_quantization_recipe(".*", operation.INPUT, _int8(qtyping, qtyping.TensorDataType.UINT))
    for as_float in (operation.SOFTMAX, operation.LOGISTIC, operation.OUTPUT):
        work.update_quantization_recipe(".*", as_float, algorithm_key="no_quantize")
    with warnings.catch_warnings():
        # It warns that it keeps all tensors, which is what it is for, and of channels whose weights are all zero.
        warnings.simplefilter("ignore")
        ranges = calibrator.Calibrator(float_tflite, num_threads=_THREADS, qsv_update_func=qsv_utils.min_max_update)
        ranges.calibrate(
            {_signature(float_tflite): list(_calibration_inputs(float_tflite, calibration))}, _manager(work)
        )
        result = work.quantize(ranges.get_model_qsvs(), enable_progress_bar=False, enable_progress_report=False)
    if result.quantized_model is None:
        raise RuntimeError("the quantizer returned no model")
    return bytes(result.quantized_model)


def _int8(qtyping: Any, dtype: Any) -> Any:  # noqa: ANN401  the library has no types
    return qtyping.OpQuantizationConfig(
        activation_tensor_config=qtyping.TensorQuantizationConfig(num_bits=_BITS, symmetric=False, dtype=dtype),
        weight_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=_BITS, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
        ),
        compute_precision=qtyping.ComputePrecision.INTEGER,
    )


def _manager(work: Any) -> Any:  # noqa: ANN401  as above
    """The quantizer's own recipe; its calibrate() would take a moving average, so the calibrator is driven directly."""
    from ai_edge_quantizer import recipe_manager

    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(work.get_quantization_recipe())
    return manager


def _calibration_inputs(float_tflite: bytes, pictures: Sequence[Image]) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    name = _input_name(float_tflite)
    for index, picture in enumerate(pictures):
        pixels = picture[None].astype(np.float32)
        if index == 0:
            # One sample must hold a 0 and a 255, so that the input's scale becomes exactly 1 and its zero point 0.
            pixels[0, 0, 0], pixels[0, 0, 1] = 0.0, 255.0
        yield {name: pixels}


def _signature(float_tflite: bytes) -> str:
    return next(iter(_signatures(float_tflite)))


def _input_name(float_tflite: bytes) -> str:
    return str(next(iter(_signatures(float_tflite).values()))["inputs"][0])


def _signatures(float_tflite: bytes) -> dict[str, Any]:
    from ai_edge_litert.interpreter import Interpreter

    return dict(Interpreter(model_content=float_tflite).get_signature_list())
