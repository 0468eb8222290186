"""Bias correction: rounded weights shift the mean of what a layer says, and its bias can take that back.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.2: here
empirically, layer after layer, so that each one also takes back what those before it have shifted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.graph import Graph
from trainer.ranges import watched

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edge.frame import Image
    from trainer.graph import Layer

_ROOM = 2.0**30
"""The largest a bias may become in int32: half of what fits, which leaves room for the sum that is added to it."""
_THREADS = 2


def correct_biases(quantized: bytes, float_tflite: bytes, pictures: Sequence[Image]) -> bytes:
    """Make the mean of every channel of every int8 layer what it is in the float model; costs nothing at run time.

    Args:
        quantized: the int8 model; layers that were left in float stay as they are.
        float_tflite: what it was made from.
        pictures: prepared, ``(H, W, C) uint8`` each; a dozen are enough.
    """
    wanted = _float_means(float_tflite, pictures)
    biases = _float_biases(float_tflite)
    graph = Graph(quantized)
    for layer in list(graph.layers()):
        if layer.bias < 0 or layer.name not in wanted or not _is_int8(graph, layer):
            continue
        _make_room(graph, layer, biases[layer.name])
        layer = next(each for each in graph.layers() if each.operator == layer.operator)  # noqa: PLW2901  renumbered
        shift = wanted[layer.name] - _mean(graph.up_to(layer), pictures)
        steps = graph.values(layer.bias, np.int32) + np.rint(shift / graph.scales(layer.bias))
        graph.put(layer, layer.bias, np.clip(steps, -_ROOM, _ROOM).astype(np.int32))
    return graph.content()


def check_scales(quantized: bytes) -> None:
    """Every scale in a file must be a positive number: one NaN makes a whole channel silently wrong.

    Raises:
        ValueError: names the first tensor with another.
    """
    graph = Graph(quantized)
    for number in range(len(graph.subgraph.tensors)):
        scales = graph.scales(number)
        if not (np.isfinite(scales).all() and (scales > 0).all()):
            raise ValueError(f"the scale of {graph.name_of(number)!r} is no positive number")


def _make_room(graph: Graph, layer: Layer, bias: npt.NDArray[np.float32]) -> None:
    """A channel whose weights are (almost) zero gets a scale so small that its bias does not fit into int32.

    Its weights are zeros with any scale; the bias is all that it says, and must come through.
    """
    scales = graph.scales(layer.weights)
    source = graph.scales(layer.given)[0]
    least = np.abs(bias) / (source * _ROOM)
    if scales.size != bias.size or not (scales < least).any():
        return
    shape = [1] * graph.values(layer.weights, np.int8).ndim
    shape[layer.axis] = -1
    wider = np.maximum(scales, least)
    weights = graph.values(layer.weights, np.int8) * (scales / wider).reshape(shape)
    weights_number = graph.put(layer, layer.weights, np.rint(weights).astype(np.int8))
    graph.subgraph.tensors[weights_number].quantization.scale = wider.astype(np.float32)
    bias_number = graph.put(layer, layer.bias, np.rint(bias / (source * wider)).astype(np.int32))
    graph.subgraph.tensors[bias_number].quantization.scale = (source * wider).astype(np.float32)


def _is_int8(graph: Graph, layer: Layer) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    tensors, types = graph.subgraph.tensors, schema.TensorType
    return bool(tensors[layer.output].type == types.INT8 and tensors[layer.bias].type == types.INT32)


def _float_biases(float_tflite: bytes) -> dict[str, npt.NDArray[np.float32]]:
    graph = Graph(float_tflite)
    return {each.name: graph.values(each.bias, np.float32) for each in graph.layers() if each.bias >= 0}


def _float_means(float_tflite: bytes, pictures: Sequence[Image]) -> dict[str, npt.NDArray[np.float64]]:
    """The mean of each channel that a layer puts out, by the layer's name."""
    interpreter, layers = watched(float_tflite), list(Graph(float_tflite).layers())
    sums: dict[str, Any] = {layer.name: 0.0 for layer in layers}
    for picture in pictures:
        _run(interpreter, picture)
        for layer in layers:
            sums[layer.name] = sums[layer.name] + _channel_mean(interpreter.get_tensor(layer.output))
    return {name: total / len(pictures) for name, total in sums.items()}


def _mean(truncated: bytes, pictures: Sequence[Image]) -> npt.NDArray[np.float64]:
    """The mean of each channel of a quantized model's only output."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=truncated, num_threads=_THREADS)
    interpreter.allocate_tensors()
    output = interpreter.get_output_details()[0]
    scale, zero_point = output["quantization"]
    total: Any = 0.0
    for picture in pictures:
        _run(interpreter, picture)
        total = total + _channel_mean(interpreter.get_tensor(output["index"]))
    return np.asarray((total / len(pictures) - zero_point) * scale)


def _run(interpreter: Any, picture: Image) -> None:  # noqa: ANN401  the library has no types
    given = interpreter.get_input_details()[0]
    interpreter.set_tensor(given["index"], picture[None].astype(given["dtype"]))
    interpreter.invoke()


def _channel_mean(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(values.reshape(-1, values.shape[-1]).mean(axis=0, dtype=np.float64))
