"""Looking into a ``.tflite`` and changing it: its weighted layers, its buffers, the part of it up to a layer."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

_INLINE_OFFSETS = 2  # a buffer's offset of 0 or 1 means that its data is inside the flatbuffer


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution or dense layer: numbers of its operator and tensors, and the axis of its weights' output channels.

    Attributes:
        name: of its output tensor; the quantizer keeps it.
        bias: -1 where it has none.
    """

    operator: int
    name: str
    given: int
    weights: int
    bias: int
    output: int
    axis: int
    is_convolution: bool


class Graph:
    """A flatbuffer taken apart; ``content()`` puts it together again."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.tools import flatbuffer_utils

        self.model: Any = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
        inline_buffers(self.model, content)

    @property
    def subgraph(self) -> Any:  # noqa: ANN401  the generated schema has no types
        """The only one that a picture model has."""
        return self.model.subgraphs[0]

    def content(self) -> bytes:
        """The bytes of the ``.tflite``."""
        from ai_edge_litert.tools import flatbuffer_utils

        return bytes(flatbuffer_utils.convert_object_to_bytearray(self.model))

    def layers(self) -> Iterator[Layer]:
        """Its weighted layers in the order in which they run."""
        from ai_edge_litert import schema_py_generated as schema

        kinds = schema.BuiltinOperator
        axes = {kinds.CONV_2D: 0, kinds.DEPTHWISE_CONV_2D: 3, kinds.FULLY_CONNECTED: 0}
        for number, operator in enumerate(self.subgraph.operators):
            kind = self.model.operatorCodes[operator.opcodeIndex].builtinCode
            if kind not in axes:
                continue
            given, weights, *rest = (int(tensor) for tensor in operator.inputs)
            output = int(operator.outputs[0])
            yield Layer(
                operator=number,
                name=self.name_of(output),
                given=given,
                weights=weights,
                bias=rest[0] if rest else -1,
                output=output,
                axis=axes[kind],
                is_convolution=kind != kinds.FULLY_CONNECTED,
            )

    def name_of(self, tensor: int) -> str:
        """The name of a tensor."""
        name = self.subgraph.tensors[tensor].name
        return str(name.decode() if isinstance(name, bytes) else name)

    def scales(self, tensor: int) -> npt.NDArray[np.float64]:
        """The scale of a quantized tensor, or those of its channels; empty for another."""
        quantization = self.subgraph.tensors[tensor].quantization
        scale = None if quantization is None else quantization.scale
        return np.asarray([] if scale is None else scale, dtype=np.float64)

    def values(self, tensor: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """A constant of the graph, in its shape."""
        entry = self.subgraph.tensors[tensor]
        return np.frombuffer(bytes(self.model.buffers[entry.buffer].data), dtype).reshape(entry.shape)

    def put(self, layer: Layer, tensor: int, values: npt.NDArray[Any]) -> int:
        """Give a layer a constant of its own; what other layers share stays as it is. Returns the tensor's number."""
        from ai_edge_litert import schema_py_generated as schema

        subgraph, buffers = self.subgraph, self.model.buffers
        if sum(tensor in operator.inputs for operator in subgraph.operators) > 1:
            subgraph.tensors.append(copy.deepcopy(subgraph.tensors[tensor]))
            fresh = len(subgraph.tensors) - 1
            operator = subgraph.operators[layer.operator]
            operator.inputs = [fresh if number == tensor else number for number in operator.inputs]
            tensor = fresh
        entry = subgraph.tensors[tensor]
        if sum(other.buffer == entry.buffer for other in subgraph.tensors) > 1:
            buffers.append(schema.BufferT())
            entry.buffer = len(buffers) - 1
        buffers[entry.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
        return tensor

    def up_to(self, layer: Layer) -> bytes:
        """The graph that ends with a layer, whose output is its only one."""
        whole = self.subgraph.operators, self.subgraph.outputs, self.model.signatureDefs
        self.subgraph.operators = whole[0][: layer.operator + 1]
        self.subgraph.outputs, self.model.signatureDefs = [layer.output], []
        try:
            return self.content()
        finally:
            self.subgraph.operators, self.subgraph.outputs, self.model.signatureDefs = whole


def inline_buffers(model: Any, content: bytes) -> None:  # noqa: ANN401  as above
    """Bring every buffer inside the flatbuffer: the quantizer writes them behind it, where offsets would break."""
    for buffer in model.buffers:
        if buffer.offset >= _INLINE_OFFSETS:
            start = buffer.offset
            buffer.data = np.frombuffer(content[start : start + buffer.size], dtype=np.uint8)
            buffer.offset, buffer.size = 0, 0
