"""Whether a file's answers hold on other kernels: those of this machine are not those of every device.

Correct int8 kernels round differently, and a network that is only just right in int8 turns that into another answer.
Plain kernels of LiteRT differ from its fast ones as tflite-runtime does (measured: 0.0054 and 0.0054 for MobileNetV2,
0.22 and 0.21 for a MobileNetV3Small that its golden samples then refused on the device).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.preprocess import prepare
from edge.runtime import SCORES
from trainer.golden import TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.frame import Image
    from edge.model_card import InputSpec


def told_apart(apart: float) -> str:
    """What to say of a spread that a device's golden samples would not bear."""
    return f"with other kernels, as other devices have, a score is off by {apart:.2f} and {TOLERANCE} is allowed"


def spread(content: bytes, spec: InputSpec, frames: Iterable[Image]) -> float:
    """The largest difference of a score between fast and plain kernels; 1, the most there is, if some cannot run it.

    Args:
        content: a ``.tflite`` that takes raw pixels and has an output ``scores``.
        spec: its input.
        frames: raw, ``(H, W, 3) uint8 BGR``.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    answers = []
    prepared = [prepare(frame, spec)[None] for frame in frames]
    for kernels in (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
        interpreter = Interpreter(model_content=content, num_threads=1, experimental_op_resolver_type=kernels)
        try:
            interpreter.allocate_tensors()
        except RuntimeError:  # scales that do not fit together: fast kernels take them, plain ones do not
            return 1.0
        given = interpreter.get_input_details()[0]
        scores = interpreter.get_signature_runner().get_output_details()[SCORES]["index"]
        rows = []
        for picture in prepared:
            interpreter.set_tensor(given["index"], picture.astype(given["dtype"]))
            interpreter.invoke()
            rows.append(interpreter.get_tensor(scores).ravel())
        answers.append(np.stack(rows))
    return float(np.abs(answers[0] - answers[1]).max())
