"""The ladder: what is tried, rung by rung, when int8 falls further below float than the recipe allows.

A rung further up costs more on the device: so the first that holds is taken.

int16 activations (``int16``) is not on the default ladder: neither runtime has fast kernels for it (80 times slower
than int8 on x86-64, measured), while float16 is nearly exact at the speed of float. A recipe may ask for it.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trainer.quantize import operators, small_head, to_float16_tflite, to_int8_tflite, to_int16_tflite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from edge.frame import Image

Rung = Literal["int8", "more_pictures", "float_layers", "int16", "float16"]
MORE_PICTURES = 4
"""How many times as many pictures calibrate on the second rung."""
_GROUPS = 16
"""Of neighbouring operators: so fine is the search for what int8 harms."""
_KEPT = (1 / 8, 1 / 4, 1 / 2)
"""Shares of the groups that stay in float on the third rung, one after the other."""
_PROBES = 12
_THREADS = 2
_WORTH_SAYING = 0.05  # of a score

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
    float_tflite: bytes,
    calibration: Callable[[int], Sequence[Image]],
    *,
    pictures: int,
    rungs: Sequence[Rung],
    on_skip: Callable[[str], None] = lambda _line: None,
) -> Iterator[Candidate]:
    """Make one candidate after the other, each only when it is asked for.

    Args:
        float_tflite: from ``to_float_tflite``.
        calibration: gives up to so many prepared pictures of the training split, classes balanced, always the same.
        pictures: how many calibrate on the first rung.
        rungs: which ones, in their order.
        on_skip: told which rung cannot be made of this network, and why.

    Raises:
        ValueError: there are no pictures to calibrate with.
    """
    few = calibration(pictures)
    if not few:
        raise ValueError("quantization needs pictures to calibrate with")
    for rung in rungs:
        for note, make in _ways(rung, float_tflite, few, calibration):
            try:
                content = make()
            except (RuntimeError, ValueError) as error:  # the quantizer or the runtime know no such form of it
                on_skip(f"{note}: cannot be made of this network ({' '.join(str(error).split())[:160]})")
                continue
            yield Candidate(rung, content, note)


def _ways(
    rung: Rung, float_tflite: bytes, few: Sequence[Image], calibration: Callable[[int], Sequence[Image]]
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The candidates of a rung: what is special about each, and how it is made."""
    if rung == "int8":
        yield WHY[rung], lambda: to_int8_tflite(float_tflite, few)
    elif rung == "more_pictures":
        more = calibration(MORE_PICTURES * len(few))
        if len(more) > len(few):
            yield f"{WHY[rung]} ({len(more)} for {len(few)})", lambda: to_int8_tflite(float_tflite, more)
    elif rung == "float_layers":
        groups = sensitive(float_tflite, few)
        for count in dict.fromkeys(math.ceil(share * len(groups)) for share in _KEPT):
            kept = [name for group in groups[:count] for name in group]
            note = f"{WHY[rung]} ({len(kept)} of {len(operators(float_tflite))} operators)"
            yield note, functools.partial(to_int8_tflite, float_tflite, few, keep_float=kept)
    elif rung == "int16":
        yield WHY[rung], lambda: to_int16_tflite(float_tflite, few)
    else:
        yield WHY[rung], lambda: to_float16_tflite(float_tflite)


def told(quantization: Mapping[str, Any]) -> str:
    """Which rung was needed and why, in a sentence; empty where the first one held or nothing is known.

    Args:
        quantization: as in a card's metrics: ``rung``, ``note``, and what was ``tried``.
    """
    tried = quantization.get("tried", [])
    if len(tried) < 2:  # noqa: PLR2004  nothing was tried before it
        return ""
    first, last = (_likeness(each) for each in (tried[0], tried[-1]))
    others = dict.fromkeys(WHY[each["rung"]] for each in tried[1:] if each["rung"] != quantization["rung"])
    nor = "".join(f"; nor {why}" for why in others)
    return f"plain int8 was not enough ({first}){nor}. Taken: {quantization['note']}; {last}"


def _likeness(attempt: Mapping[str, Any]) -> str:
    if "cosine_mean" in attempt:
        return f"cosine to float {attempt['cosine_mean']:.3f}"
    apart = attempt.get("kernels_differ_by", 0.0)
    elsewhere = f", off by {apart:.2f} on other kernels" if apart >= _WORTH_SAYING else ""
    return f"same answer as float in {attempt['agreement']:.1%}{elsewhere}"


def sensitive(float_tflite: bytes, pictures: Sequence[Image]) -> list[list[str]]:
    """Groups of neighbouring operators, the one first whose int8 arithmetic alone, all others in float, does most harm.

    One group in float and all others in int8 would show little: where two do harm, either hides the other.

    Args:
        float_tflite: the float model.
        pictures: prepared, ``(H, W, 3) uint8`` each.

    Returns:
        the operators' names, by their outputs, as ``keep_float`` takes them.
    """
    in_float = set(small_head(float_tflite))
    names = [name for name in operators(float_tflite) if name not in in_float]
    groups = [list(part) for part in np.array_split(np.array(names, dtype=object), min(_GROUPS, len(names) or 1))]
    probes = pictures[:_PROBES]
    truth = _answers(float_tflite, probes)

    def harm(group: Sequence[str]) -> float:
        others = [name for name in names if name not in group]
        try:
            return _distance(truth, _answers(to_int8_tflite(float_tflite, probes, keep_float=others), probes))
        except (RuntimeError, ValueError):
            return math.inf  # these cannot be int8 at all

    return sorted(filter(None, groups), key=harm, reverse=True)


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
