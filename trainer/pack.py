"""Finishing touches on a flatbuffer before it is sealed into a model file: TFLite Metadata for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.model_file import CARD_ENTRY
from edge.tflite_metadata import ENTRY_NAME, TensorText, build_metadata
from trainer.graph import inline_buffers

if TYPE_CHECKING:
    from edge.model_card import ModelCard


def add_metadata(flatbuffer: bytes, card: ModelCard) -> bytes:
    """Add the standard metadata and our mark, and bring every buffer inside the flatbuffer.

    The quantizer writes its buffers behind the flatbuffer, where anything appended would confuse their offsets.

    Args:
        flatbuffer: a model as the quantizer or TensorFlow wrote it, nothing appended.
        card: what is to be said of it.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(flatbuffer))
    inline_buffers(model, flatbuffer)
    outputs = [_output_text(name) for name in _output_names(model)]
    inputs = [TensorText("image", "Picture with pixels as they are, 0 to 255; the scaling is inside the model.")]
    metadata = build_metadata(
        name=card.name,
        version=card.version,
        description=f"{card.kind}: {', '.join(card.labels)}"[:500],
        inputs=inputs,
        outputs=outputs,
        gray=card.input.color == "gray",
    )
    _add_entry(model, ENTRY_NAME, metadata)
    _add_entry(model, CARD_ENTRY, b"card.json in the appended zip")
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _output_names(model: Any) -> list[str]:  # noqa: ANN401  as above
    """The outputs in the subgraph's order, by their names in the signature."""
    names = {output.tensorIndex: _text(output.name) for output in model.signatureDefs[0].outputs}
    return [names[index] for index in model.subgraphs[0].outputs]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _output_text(name: str) -> TensorText:
    if name == "scores":
        return TensorText(name, "Calibrated score of each class, 0 to 1.", has_labels=True)
    return TensorText(name, "Feature vector of the picture, before the head.")


def _add_entry(model: Any, name: str, data: bytes) -> None:  # noqa: ANN401  as above
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = np.frombuffer(data, dtype=np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
