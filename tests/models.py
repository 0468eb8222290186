"""Tiny real TFLite models for tests, made in milliseconds without TensorFlow.

A tiny model averages the picture and compares the mean colour with one prototype per class, so its answers can be
predicted: a red picture is ``red``. Run as a script it writes one: ``python tests/models.py FILE LABEL...``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from edge.model_card import Golden, InputSpec, Kind, ModelCard
from edge.model_file import CARD_ENTRY, GoldenSamples, write_model_file
from edge.preprocess import prepare
from edge.runtime import EMBEDDING, SCORES, Engine
from edge.tflite_metadata import ENTRY_NAME, TensorText, build_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge.frame import Image

COLORS = ("red", "green", "blue")
PICTURES: Mapping[str, tuple[int, int, int]] = {"red": (20, 20, 230), "green": (20, 230, 20), "blue": (230, 20, 20)}
"""BGR of a picture that is surely of that class."""

_TYPES: Mapping[str, tuple[int, npt.DTypeLike]] = {
    "float32": (schema.TensorType.FLOAT32, np.float32),
    "int8": (schema.TensorType.INT8, np.int8),
    "int32": (schema.TensorType.INT32, np.int32),
    "uint8": (schema.TensorType.UINT8, np.uint8),
}
_OP = schema.BuiltinOperator
_OPTION = schema.BuiltinOptions
_WEIGHT_SCALE = 1 / 127


def plain(color: str, *, height_px: int = 24, width_px: int = 32) -> Image:
    """A picture of one colour, ``(H, W, 3) uint8 BGR``."""
    return np.full((height_px, width_px, 3), PICTURES[color], np.uint8)


def lively(color: str, seed: int, *, height_px: int = 48, width_px: int = 64) -> Image:
    """A picture of that colour with something to be seen in it, so that no camera is taken for a covered one."""
    noise = np.random.default_rng(seed).integers(0, 2, (height_px // 8, width_px // 8, 1)) * 120 - 60
    blocks = noise.repeat(8, axis=0).repeat(8, axis=1)
    return np.clip(plain(color, height_px=height_px, width_px=width_px) + blocks, 0, 255).astype(np.uint8)


def tiny_flatbuffer(
    *,
    classes: int = 3,
    shape: tuple[int, ...] = (1, 16, 16, 3),
    shape_signature: tuple[int, ...] | None = None,
    input_type: Literal["uint8", "int8", "float32"] = "uint8",
    input_scale: tuple[float, int] | None = (1.0, 0),
    activation: Literal["softmax", "sigmoid"] = "softmax",
    outputs: Sequence[str] = (SCORES,),
    signature: bool = True,
    bias: float = 0.0,
    metadata: Mapping[str, bytes] | None = None,
) -> bytes:
    """The bytes of a ``.tflite``: quantize, MEAN, FULLY_CONNECTED, softmax or sigmoid, dequantize; float32 out.

    A ``float32`` model is float throughout and expects its input in 0…255, a quantized one is int8 inside.

    Args:
        classes: size of the scores; class ``i`` answers to the colour channel ``i`` (RGB order), others to none.
        shape: of the input tensor, batch first.
        shape_signature: where dimensions are open (-1).
        input_type: of the input tensor.
        input_scale: scale and zero point of a quantized input; ``None`` leaves both out of the file.
        activation: after the fully connected layer.
        outputs: which of ``scores`` and ``embedding`` (the mean colour, 0…255) come out, in this tensor order.
        signature: whether the outputs are named by one.
        bias: of every class; ``nan`` makes a ``float32`` model answer with no number.
        metadata: further buffers by the name of their entry.
    """
    graph = _Graph()
    channels = shape[3] if len(shape) == 4 else 1
    floats = input_type == "float32"
    inside = "float32" if floats else "int8"
    pixels = None if floats else (1.0, -128)
    given = graph.tensor("picture", shape, input_type, None if floats else input_scale, signature=shape_signature)
    widened = given if floats else graph.tensor("pixels", shape, "int8", pixels)
    if not floats:
        graph.operator(_OP.QUANTIZE, 1, [given], widened)
    mean = graph.tensor("mean", (1, channels), inside, pixels)
    axes = graph.tensor("axes", (2,), "int32", data=np.array([1, 2]))
    keep_dims = schema.ReducerOptionsT()
    graph.operator(_OP.MEAN, 2, [widened, axes], mean, _OPTION.ReducerOptions, keep_dims)

    prototypes = np.eye(classes, channels) / 64.0
    scale = 0.0 if floats else _WEIGHT_SCALE / 64
    weights = graph.tensor(
        "weights",
        (classes, channels),
        inside,
        None if floats else (scale, 0),
        data=prototypes if floats else np.rint(prototypes / scale),
    )
    biases = graph.tensor(
        "bias",
        (classes,),
        "float32" if floats else "int32",
        None if floats else (scale, 0),
        data=np.full(classes, bias) if floats else np.full(classes, np.rint(bias / scale)),
    )
    logits = graph.tensor("logits", (1, classes), inside, None if floats else (1 / 32, 0))
    graph.operator(
        _OP.FULLY_CONNECTED,
        1 if floats else 4,
        [mean, weights, biases],
        logits,
        _OPTION.FullyConnectedOptions,
        schema.FullyConnectedOptionsT(),
    )
    unit = None if floats else (1 / 256, -128)
    scores = graph.tensor("answer", (1, classes), inside, unit)
    if activation == "softmax":
        options = schema.SoftmaxOptionsT(beta=1.0)
        graph.operator(_OP.SOFTMAX, 1 if floats else 2, [logits], scores, _OPTION.SoftmaxOptions, options)
    else:
        graph.operator(_OP.LOGISTIC, 1 if floats else 2, [logits], scores)
    made = {SCORES: scores, EMBEDDING: mean}
    if not floats:
        for name in outputs:
            real = graph.tensor(f"real_{name}", graph.tensors[made[name]].shape, "float32")
            graph.operator(_OP.DEQUANTIZE, 2, [made[name]], real)
            made[name] = real
    return graph.flatbuffer(given, {name: made[name] for name in outputs}, signature=signature, metadata=metadata or {})


def foreign_model(path: Path, labels: Sequence[str] = COLORS, **model: Any) -> tuple[Path, Path]:
    """Write somebody else's file and, beside it, its labels file."""
    path.write_bytes(tiny_flatbuffer(**model))
    names = path.with_suffix(".txt")
    names.write_text("".join(f"{label}\n" for label in labels))
    return path, names


def stated_normalization(mean: Sequence[float], std: Sequence[float]) -> bytes:
    """TFLite Metadata that says nothing but how an input is normalized, as other people's tools write it."""
    builder = flatbuffers.Builder(256)

    def table(slot_count: int, slots: Mapping[int, int], union_types: Mapping[int, int] | None = None) -> int:
        builder.StartObject(slot_count)
        for slot, member in (union_types or {}).items():
            builder.PrependUint8Slot(slot, member, 0)
        for slot, offset in slots.items():
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        return int(builder.EndObject())

    def listed(offset: int) -> int:
        builder.StartVector(4, 1, 4)
        builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    floats = [builder.CreateNumpyVector(np.asarray(values, np.float32)) for values in (mean, std)]
    options = table(2, dict(enumerate(floats)))
    unit = table(2, {1: options}, union_types={0: 1})
    tensor = table(7, {4: listed(unit)})
    subgraph = table(7, {2: listed(tensor)})
    builder.Finish(table(8, {3: listed(subgraph)}), file_identifier=b"M001")
    return bytes(builder.Output())


class _Graph:
    """One subgraph in the making."""

    def __init__(self) -> None:
        self.tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[int, int], int] = {}
        self._buffers: list[Any] = [schema.BufferT()]  # number 0 is empty by convention

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        quantization: tuple[float, int] | None = None,
        *,
        data: npt.NDArray[Any] | None = None,
        signature: Sequence[int] | None = None,
    ) -> int:
        kind, numpy_type = _TYPES[dtype]
        tensor = schema.TensorT(shape=list(shape), type=kind, name=name, hasRank=True)
        tensor.shapeSignature = list(signature) if signature else None
        if quantization:
            tensor.quantization = schema.QuantizationParametersT(scale=[quantization[0]], zeroPoint=[quantization[1]])
        tensor.buffer = 0 if data is None else self.buffer(data.astype(numpy_type).tobytes())
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def buffer(self, data: bytes) -> int:
        self._buffers.append(schema.BufferT(data=np.frombuffer(data, np.uint8)))
        return len(self._buffers) - 1

    def operator(
        self, code: int, version: int, inputs: Sequence[int], output: int, option: int = 0, options: object = None
    ) -> None:
        index = self._codes.setdefault((code, version), len(self._codes))
        operator = schema.OperatorT(opcodeIndex=index, inputs=list(inputs), outputs=[output])
        operator.builtinOptionsType, operator.builtinOptions = option, options
        self._operators.append(operator)

    def flatbuffer(
        self, given: int, outputs: Mapping[str, int], *, signature: bool, metadata: Mapping[str, bytes]
    ) -> bytes:
        subgraph = schema.SubGraphT(
            tensors=self.tensors, inputs=[given], outputs=list(outputs.values()), operators=self._operators, name="main"
        )
        model = schema.ModelT(version=3, subgraphs=[subgraph], description="tiny", buffers=self._buffers)
        model.operatorCodes = [
            schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=version)
            for code, version in self._codes
        ]
        model.metadata = [schema.MetadataT(name=name, buffer=self.buffer(data)) for name, data in metadata.items()]
        if signature:
            tensor_map = schema.TensorMapT
            definition = schema.SignatureDefT(inputs=[tensor_map("picture", given)], signatureKey="serving_default")
            definition.outputs = [tensor_map(name, index) for name, index in outputs.items()]
            model.signatureDefs = [definition]
        builder = flatbuffers.Builder(4096)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


@dataclass(frozen=True, slots=True)
class TinyModel:
    """The three parts that ``write_model_file`` wants."""

    flatbuffer: bytes
    card: ModelCard
    golden: GoldenSamples | None

    def write(self, path: Path) -> Path:
        """Write the model file and return its path."""
        write_model_file(path, self.flatbuffer, self.card, self.golden)
        return path


def tiny_model(
    *,
    labels: Sequence[str] = COLORS,
    kind: Kind = "classify",
    size_px: int = 16,
    color: Literal["rgb", "bgr", "gray"] = "rgb",
    resize: Literal["stretch", "crop", "letterbox"] = "stretch",
    outputs: Sequence[str] | None = None,
    golden_frames: Sequence[Image] | None = None,
    tolerance: float = 0.01,
    name: str = "colors",
    version: str = "1",
) -> TinyModel:
    """A model file in the making as the trainer would write it, with true golden samples and TFLite Metadata.

    Its labels answer to red, green, blue (those beyond three to nothing); a ``binary`` one has two labels and answers
    with the second to red; an ``embed`` one has none.
    """
    channels = 1 if color == "gray" else 3
    outputs = outputs or {"embed": (EMBEDDING,)}.get(kind, (SCORES,))
    classes = 1 if kind == "binary" else max(1, len(labels))
    text = build_metadata(
        name=name,
        version=version,
        description="A tiny model for tests",
        inputs=[TensorText("picture", "RGB picture")],
        outputs=[TensorText(key, key, has_labels=key == SCORES) for key in outputs],
        gray=color == "gray",
    )
    flatbuffer = tiny_flatbuffer(
        classes=classes,
        shape=(1, size_px, size_px, channels),
        activation="softmax" if kind == "classify" else "sigmoid",
        bias=-2.0 if kind in {"binary", "multilabel"} else 0.0,
        outputs=outputs,
        metadata={ENTRY_NAME: text, CARD_ENTRY: b"1"},
    )
    spec = InputSpec(height_px=size_px, width_px=size_px, color=color, resize=resize)
    frames = tuple(golden_frames if golden_frames is not None else map(plain, COLORS))
    golden = GoldenSamples(frames, _answers(flatbuffer, spec, frames, outputs)) if frames else None
    card = ModelCard(
        name=name,
        version=version,
        kind=kind,
        input=spec,
        labels=() if kind == "embed" else tuple(labels),
        golden=Golden(count=len(frames), tolerance=tolerance) if frames else None,
        provenance={"made_by": "tests"},
    )
    return TinyModel(flatbuffer, card, golden)


def _answers(
    flatbuffer: bytes, spec: InputSpec, frames: Sequence[Image], outputs: Sequence[str]
) -> npt.NDArray[np.float32]:
    engine = Engine(flatbuffer, name="tiny")
    key = SCORES if SCORES in outputs else EMBEDDING
    found = [engine.infer(prepare(frame, spec)) for frame in frames]
    rows = np.stack([next(iter(each.values())) if len(each) == 1 else each[key] for each in found])
    return np.hstack([1 - rows, rows]) if rows.shape[1:] == (1,) else rows


if __name__ == "__main__":
    tiny_model(labels=sys.argv[2:] or COLORS).write(Path(sys.argv[1]))
