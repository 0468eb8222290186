"""From a Keras model to an int8 ``.tflite``: float conversion by TensorFlow, quantization by ai-edge-quantizer.

TensorFlow's own calibrator widens the ranges of in-place buffers, and calibrates nothing at all, silently, when the
representative set is wrong. Here the ranges are measured (``trainer.ranges``), the quantizer applies them, the same way
every time, and the shift that rounding leaves behind is taken back (``trainer.bias``).
"""

from __future__ import annotations

import re
import tempfile
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.bias import check_scales, correct_biases
from trainer.graph import Graph
from trainer.ranges import activation_ranges, as_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

    from edge.frame import Image

SMALL_LAYER_WEIGHTS = 131_072
"""A dense layer of up to half a megabyte in float is part of the head that stays in float."""
CORRECTION_PICTURES = 24
"""16 and 64 gave the same within noise; each costs one run of the model per layer."""


def to_float_tflite(model: keras.Model) -> bytes:
    """Convert a Keras model to a float32 ``.tflite``; input raw pixels, outputs named as in the model.

    Only what runs is saved on the way. The converter's own way for Keras models saves every layer as well, which takes
    twice the time for the same file.
    """
    import tensorflow as tf

    program = tf.Module()
    program.kept = [variable.value for variable in model.variables]
    pixels = tf.TensorSpec(model.inputs[0].shape, tf.float32, name=model.inputs[0].name)
    program.answer = tf.function(lambda image: model(image, training=False), input_signature=[pixels])
    with tempfile.TemporaryDirectory() as folder:
        signature = {"serving_default": program.answer.get_concrete_function()}
        tf.saved_model.save(program, folder, signatures=signature)
        return bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())


def to_int8_tflite(float_tflite: bytes, calibration: Sequence[Image], *, keep_float: Sequence[str] = ()) -> bytes:
    """Quantize to int8 weights (per channel) and activations, with a uint8 input of scale 1 and float outputs.

    The head (``small_head``) stays in float: int8 would leave scores and embedding 256 steps, and it costs nothing.

    Args:
        float_tflite: from ``to_float_tflite``.
        calibration: prepared pictures, ``(H, W, 3) uint8`` each, of the training split.
        keep_float: names of further operators' output tensors whose operators are to stay in float.

    Raises:
        ValueError: no pictures, or the model holds weights that are no numbers.
    """
    if not calibration:
        raise ValueError("quantization needs pictures to calibrate with")
    from ai_edge_quantizer import qtyping

    ranges = activation_ranges(float_tflite, calibration)
    in_float = [*small_head(float_tflite), *keep_float]
    config = _config(_bits(8, qtyping.TensorDataType.INT))
    quantized = _apply(float_tflite, config, as_statistics(ranges), in_float, uint8_input=True)
    corrected = correct_biases(quantized, float_tflite, calibration[:CORRECTION_PICTURES])
    check_scales(corrected)
    return corrected


def to_int16_tflite(float_tflite: bytes, calibration: Sequence[Image]) -> bytes:
    """Quantize to int8 weights and int16 activations, float input and outputs: exact enough, but without fast kernels.

    Raises:
        RuntimeError: the quantizer does not support one of the operators.
    """
    ranges = activation_ranges(float_tflite, calibration)
    quantized = _apply(float_tflite, _config(_bits(16, None)), as_statistics(ranges), (), uint8_input=False)
    check_scales(quantized)
    return quantized


def to_float16_tflite(float_tflite: bytes) -> bytes:
    """Store the weights as float16 and compute in float32: half the size of float, nearly its answers; float input."""
    from ai_edge_quantizer import qtyping

    half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    config = qtyping.OpQuantizationConfig(
        weight_tensor_config=half, compute_precision=qtyping.ComputePrecision.FLOAT, explicit_dequantize=True
    )
    return _apply(float_tflite, config, {}, (), uint8_input=False, algorithm="float_casting")


def operators(float_tflite: bytes) -> list[str]:
    """The output tensors' names of a model's operators, in the order in which they run: for ``keep_float``."""
    graph = Graph(float_tflite)
    return [graph.name_of(int(operator.outputs[0])) for operator in graph.subgraph.operators]


def small_head(float_tflite: bytes) -> list[str]:
    """The operators after the last large layer: pooling and a dense layer or two, which cost nothing in float."""
    graph = Graph(float_tflite)
    large = [
        layer.operator
        for layer in graph.layers()
        if layer.is_convolution or np.prod(graph.subgraph.tensors[layer.weights].shape) > SMALL_LAYER_WEIGHTS
    ]
    return operators(float_tflite)[max(large, default=-1) + 1 :]


def _apply(
    float_tflite: bytes,
    config: Any,  # noqa: ANN401  the library has no types
    statistics: dict[str, Any],
    keep_float: Sequence[str],
    *,
    uint8_input: bool,
    algorithm: str = "min_max_uniform_quantize",
) -> bytes:
    from ai_edge_quantizer import qtyping, quantizer

    operation = qtyping.TFLOperationName
    work = quantizer.Quantizer(float_tflite)
    work.update_quantization_recipe(".*", operation.ALL_SUPPORTED, config, algorithm_key=algorithm)
    if algorithm != "float_casting":
        if uint8_input:
            pixels = _config(_bits(8, qtyping.TensorDataType.UINT))
            work.update_quantization_recipe(".*", operation.INPUT, pixels)
        as_they_are = (operation.SOFTMAX, operation.LOGISTIC, operation.OUTPUT)
        for kind in as_they_are if uint8_input else (*as_they_are, operation.INPUT):
            work.update_quantization_recipe(".*", kind, algorithm_key="no_quantize")
    for name in keep_float:
        work.update_quantization_recipe(f"^{re.escape(name)}", operation.ALL_SUPPORTED, algorithm_key="no_quantize")
    with warnings.catch_warnings():
        # It warns of channels whose weights are all zero; correct_biases gives them a scale that their bias fits.
        warnings.simplefilter("ignore")
        result = work.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    if result.quantized_model is None:
        raise RuntimeError("the quantizer returned no model")
    return _outputs_in_float(bytes(result.quantized_model))


def _bits(count: int, dtype: Any) -> Any:  # noqa: ANN401  as above
    from ai_edge_quantizer import qtyping

    wide = count > 8  # noqa: PLR2004  bits of a byte; int16 kernels know no zero point
    return qtyping.TensorQuantizationConfig(num_bits=count, symmetric=wide, dtype=dtype or qtyping.TensorDataType.INT)


def _config(activations: Any) -> Any:  # noqa: ANN401  as above
    from ai_edge_quantizer import qtyping

    return qtyping.OpQuantizationConfig(
        activation_tensor_config=activations,
        weight_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=8, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
        ),
        compute_precision=qtyping.ComputePrecision.INTEGER,
    )


def _outputs_in_float(quantized: bytes) -> bytes:
    """Where an output also feeds an operator that stays in float, the quantizer forgets to hand out the float copy."""
    from ai_edge_litert import schema_py_generated as schema

    graph = Graph(quantized)
    dequantize = schema.BuiltinOperator.DEQUANTIZE
    copies = {
        int(operator.inputs[0]): int(operator.outputs[0])
        for operator in graph.subgraph.operators
        if graph.model.operatorCodes[operator.opcodeIndex].builtinCode == dequantize
    }
    graph.subgraph.outputs = [copies.get(int(number), int(number)) for number in graph.subgraph.outputs]
    for output in graph.model.signatureDefs[0].outputs:
        output.tensorIndex = copies.get(int(output.tensorIndex), int(output.tensorIndex))
    return graph.content()
