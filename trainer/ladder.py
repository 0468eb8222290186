"""The ladder: what is tried, rung by rung, when int8 falls further below float than the recipe allows.

A rung further up costs more on the device: so the first that holds is taken.

int16 activations (``int16``) is not on the default ladder: neither runtime has fast kernels for it (80 times slower
than int8 on x86-64, measured), while float16 is nearly exact at the speed of float. A recipe may ask for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from trainer.quantize import operators, to_float16_tflite, to_int8_tflite, to_int16_tflite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edge.frame import Image

Rung = Literal["int8", "more_pictures", "float_layers", "int16", "float16"]
MORE_PICTURES = 4
"""How many times as many pictures calibrate on the second rung."""
_SEGMENTS = 8
_KEPT = 2  # segments that stay in float on the third rung
_PROBES = 24
_THREADS = 2

WHY: dict[Rung, str] = {
    "int8": "all layers but a small head in int8",
    "more_pictures": "int8, calibrated with more pictures",
    "float_layers": "int8, the most sensitive layers in float",
    "int16": "int8 weights, int16 activations",
    "float16": "float16 weights, float arithmetic",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file in the making: which rung made it, its bytes, and what is special about it."""

    rung: Rung
    content: bytes
    note: str


def climb(
    float_tflite: bytes, calibration: Callable[[int], Sequence[Image]], *, pictures: int, rungs: Sequence[Rung]
) -> Iterator[Candidate]:
    """Make one candidate after the other, each only when it is asked for.

    Args:
        float_tflite: from ``to_float_tflite``.
        calibration: gives up to so many prepared pictures of the training split, classes balanced, always the same.
        pictures: how many calibrate on the first rung.
        rungs: which ones, in their order.
    """
    for rung in rungs:
        if rung == "int8":
            yield Candidate(rung, to_int8_tflite(float_tflite, calibration(pictures)), WHY[rung])
        elif rung == "more_pictures":
            few, more = calibration(pictures), calibration(MORE_PICTURES * pictures)
            if len(more) > len(few):
                note = f"{WHY[rung]} ({len(more)} for {len(few)})"
                yield Candidate(rung, to_int8_tflite(float_tflite, more), note)
        elif rung == "float_layers":
            few = calibration(pictures)
            kept = sensitive(float_tflite, few)
            note = f"{WHY[rung]} ({len(kept)} of {len(operators(float_tflite))} operators)"
            yield Candidate(rung, to_int8_tflite(float_tflite, few, keep_float=kept), note)
        elif rung == "int16":
            try:
                yield Candidate(rung, to_int16_tflite(float_tflite, calibration(pictures)), WHY[rung])
            except (RuntimeError, ValueError):
                continue  # the quantizer knows no int16 form of one of the operators
        else:
            yield Candidate(rung, to_float16_tflite(float_tflite), WHY[rung])


def sensitive(float_tflite: bytes, pictures: Sequence[Image]) -> list[str]:
    """The operators, by their outputs' names, whose int8 arithmetic does the most harm: in segments, by trying.

    Args:
        float_tflite: the float model.
        pictures: prepared, ``(H, W, 3) uint8`` each.
    """
    names = operators(float_tflite)
    segments = [list(part) for part in np.array_split(np.array(names, dtype=object), min(_SEGMENTS, len(names)))]
    probes = pictures[:_PROBES]
    truth = _answers(float_tflite, probes)
    harm = [
        _distance(truth, _answers(to_int8_tflite(float_tflite, probes, keep_float=segment), probes))
        for segment in segments
    ]
    return [name for index in np.argsort(harm, kind="stable")[:_KEPT] for name in segments[index]]


def _answers(content: bytes, pictures: Sequence[Image]) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """One row per picture for each output of a model, in the order of their names."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=_THREADS)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    details = interpreter.get_signature_runner().get_output_details()
    numbers = [details[name]["index"] for name in sorted(details)]
    rows: list[list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]] = [[] for _ in numbers]
    for picture in pictures:
        interpreter.set_tensor(given["index"], picture[None].astype(given["dtype"]))
        interpreter.invoke()
        for row, number in zip(rows, numbers, strict=True):
            row.append(interpreter.get_tensor(number).ravel().astype(np.float64))
    return [np.stack(row) for row in rows]


def _distance(
    truth: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.float64]]],
    answers: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.float64]]],
) -> float:
    """Root of the mean squared error relative to the truth's own spread, summed over the outputs."""
    return sum(
        float(np.sqrt(np.square(found - wanted).mean()) / max(1e-9, float(wanted.std())))
        for wanted, found in zip(truth, answers, strict=True)
    )
