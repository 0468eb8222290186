"""From a loaded model to a float TFLite file that takes raw pixels: scaling before it, an activation behind it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edge.runtime import EMBEDDING, SCORES
from trainer.saved.errors import SavedModelError
from trainer.saved.pixels import in_graph

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.saved.head import Head
    from trainer.saved.loading import LoadedModel
    from trainer.saved.protocol import PixelMode

_SKIPPED = frozenset({"Identity", "IdentityN", "Cast", "Reshape", "Squeeze", "StopGradient", "EnsureShape"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


def last_operation(model: LoadedModel, output: str, shape: tuple[int, int, int]) -> str:
    """The TensorFlow operation that makes an output, such as ``Softmax``, seen through calls and mere copies."""
    import tensorflow as tf

    dtype = model.inputs[0].dtype
    traced = tf.function(lambda pictures: model.call(pictures)[output]).get_concrete_function(
        tf.TensorSpec([1, *shape], dtype)
    )
    graph = traced.graph.as_graph_def()
    functions = {function.signature.name: function for function in graph.library.function}
    nodes = {node.name: node for node in graph.node}
    name, _, index = traced.outputs[0].name.partition(":")
    while True:
        node = nodes[name]
        if node.op in _SKIPPED:
            source = node.input[int(index or 0)] if node.op == "IdentityN" else node.input[0]
        elif node.op in _CALLS:
            function = functions[node.attr["f"].func.name]
            source = function.ret[function.signature.output_arg[int(index or 0)].name]
            nodes = {inner.name: inner for inner in function.node_def}
        else:
            return str(node.op)
        # "name", "name:0" in a graph, "name:port:0" inside a function.
        name, index = source.split(":")[0], source.split(":")[-1] if ":" in source else "0"
        if name not in nodes:
            return "Placeholder"  # the model hands its input on


def to_float_tflite(
    model: LoadedModel, output: str, head: Head, mode: PixelMode, shape: tuple[int, int, int], folder: Path
) -> bytes:
    """Convert to float32 TFLite: ``(1, H, W, C)`` raw pixels in, ``scores`` or ``embedding`` out.

    Args:
        model: as loaded.
        output: which of its outputs.
        head: what it means.
        mode: what a pixel becomes before the model sees it.
        shape: height, width, channels.
        folder: for the program on its way.

    Raises:
        SavedModelError: it uses operations that TFLite does not have.
    """
    import tensorflow as tf

    name = EMBEDDING if head.kind == "embed" else SCORES
    activations = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid, None: tf.identity}

    program = tf.Module()
    program.kept = model.variables

    @tf.function(input_signature=[tf.TensorSpec([1, *shape], tf.float32, name="image")])  # type: ignore[untyped-decorator]
    def answer(image: Any) -> dict[str, Any]:  # noqa: ANN401  TensorFlow has no types
        scaled = in_graph(image, mode, shape[2])
        result = model.call(tf.cast(scaled, model.inputs[0].dtype))[output]
        result = tf.cast(result, tf.float32)
        if head.kind != "embed":
            result = tf.reshape(result, [1, -1])
        return {name: activations[head.added](result)}

    program.answer = answer
    tf.saved_model.save(program, str(folder), signatures={"serving_default": answer.get_concrete_function()})
    try:
        return bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    except Exception as error:
        # The converter raises a class of its own that TensorFlow does not export.
        if type(error).__name__ != "ConverterError":
            raise
        raise SavedModelError(_not_in_tflite(str(error))) from error


def _not_in_tflite(reason: str) -> str:
    operations = sorted(set(re.findall(r"tf\.([A-Z]\w+)", reason)))
    listed = f" ({', '.join(operations)})" if operations else f": {' '.join(reason.split())[:160]}"
    return f"it uses operations that TFLite does not have{listed}; replace them by ordinary layers and save it anew"
