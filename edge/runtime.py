"""The TFLite interpreter: ``ai-edge-litert``, or its older twin ``tflite-runtime`` where that is what there is.

Both share one interface, so everything else in Sightpost sees an ``Engine`` only.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edge.errors import ModelFileError, SightpostError
from edge.native_stderr import native_stderr_to
from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

RuntimeName = Literal["auto", "litert", "tflite-runtime"]
_MODULES = {"litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}

SCORES, EMBEDDING = "scores", "embedding"
"""Names of the outputs in the signature of a Sightpost model."""


def versions() -> list[str]:
    """The version of each runtime, empty where it is not installed. What a model could crash is not loaded."""
    found = []
    for module in _MODULES.values():
        try:
            package = importlib.import_module(module.partition(".")[0])
        except ImportError:
            found.append("")
        else:
            found.append(str(getattr(package, "__version__", "")))
    return found


class Tensor(Value, frozen=True):
    """One input or output tensor, its details read once (asking the interpreter costs more than ``set_tensor``).

    Attributes:
        shape: without the batch dimension.
        scale, zero_point: ``real = (quantized - zero_point) * scale``; scale 0 for a tensor that is not quantized.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    def real(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Real values of this tensor's content; widened first, since uint8 - zero_point would wrap around."""
        if self.scale == 0.0:
            return np.asarray(values, dtype=np.float32)
        return (values.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)


class Engine:
    """A model in an interpreter: picture tensor in, named real outputs out. One thread at a time."""

    def __init__(self, content: bytes, *, name: str, threads: int = 1, runtime: RuntimeName = "auto") -> None:
        """Load a model.

        Args:
            content: the bytes of a ``.tflite``; what is appended to the flatbuffer is ignored.
            name: for messages.
            threads: of the interpreter.
            runtime: which interpreter; ``auto`` takes ``litert`` where it is installed.

        Raises:
            ModelFileError: the interpreter refuses the model, or it has no single picture input.
            SightpostError: the runtime is not installed.
        """
        self.runtime = _choose(runtime)
        module = importlib.import_module(_MODULES[self.runtime])
        try:
            with _without_greeting():
                self._interpreter = module.Interpreter(model_content=content, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelFileError(f"{name}: {self.runtime} cannot load the model: {reason}") from error
        inputs = self._interpreter.get_input_details()
        if len(inputs) != 1 or not _takes_one_picture(inputs[0]):
            shapes = [[int(size) for size in details["shape_signature"]] for details in inputs]
            raise ModelFileError(
                f"{name}: not a picture model: its inputs are {shapes}, one (1, H, W, 1 or 3) of fixed size is needed"
            )
        self.input = _tensor(inputs[0])
        self.outputs: Mapping[str, Tensor] = self._named_outputs(name)

    def _named_outputs(self, name: str) -> dict[str, Tensor]:
        """Outputs by their name in the signature; tensor order is alphabetical and means nothing."""
        signatures = self._interpreter.get_signature_list()
        if signatures:
            details = self._interpreter.get_signature_runner(next(iter(signatures))).get_output_details()
            named = {key: _tensor(detail) for key, detail in details.items()}
        else:
            named = {detail["name"]: _tensor(detail) for detail in self._interpreter.get_output_details()}
        if len(named) == 1 and EMBEDDING not in named:
            return {SCORES: next(iter(named.values()))}
        if SCORES not in named and EMBEDDING not in named:
            raise ModelFileError(f"{name}: has several outputs ({', '.join(named)}) and none is named {SCORES!r}")
        return named

    def infer(self, picture: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
        """Run the model on one ``(H, W, C)`` picture of the input tensor's type; real values by output name."""
        interpreter = self._interpreter
        interpreter.set_tensor(self.input.index, picture[None])
        interpreter.invoke()
        return {
            name: tensor.real(interpreter.get_tensor(tensor.index)[0]).reshape(tensor.shape)
            for name, tensor in self.outputs.items()
        }


@contextlib.contextmanager
def _without_greeting() -> Iterator[None]:
    """The C++ library greets on standard error whenever it loads a model, and has no switch for it."""
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        with native_stderr_to(nowhere):
            yield
    finally:
        os.close(nowhere)


def _takes_one_picture(details: Mapping[str, Any]) -> bool:
    """``(1, H, W, 1 or 3)``; an open H or W, -1 in the signature, would be run at one pixel."""
    shape = [int(size) for size in details["shape"]]
    is_fixed = -1 not in list(details["shape_signature"])[1:]
    return len(shape) == 4 and shape[0] == 1 and shape[3] in {1, 3} and is_fixed  # noqa: PLR2004  (N, H, W, C)


def _tensor(details: Mapping[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    return Tensor(
        index=int(details["index"]),
        name=str(details["name"]),
        shape=tuple(int(size) for size in details["shape"][1:]),
        dtype=np.dtype(details["dtype"]),
        scale=float(scale),
        zero_point=int(zero_point),
    )


def _choose(wanted: RuntimeName) -> str:
    installed = [name for name, module in _MODULES.items() if importlib.util.find_spec(module.split(".")[0])]
    if wanted == "auto" and installed:
        return installed[0]
    if wanted in installed:
        return wanted
    known = " or ".join("ai-edge-litert" if name == "litert" else name for name in _MODULES)
    raise SightpostError(f"no TFLite runtime {wanted!r} is installed here; install {known}")
