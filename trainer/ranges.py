"""Which range of values eight bits are to cover, for each tensor between two layers.

Between the smallest and the largest value that was seen lies the range with the least mean squared error: clipping a
few far values costs less than the coarser steps that they force on all others.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from edge.frame import Image

_PER_PICTURE = 1024  # values looked at of each tensor of each picture
_ENOUGH = 10_000  # values; fewer say too little of the tails: such a tensor keeps all that was seen
_STEPS = 255
_CUTS = np.geomspace(0.1, 1.0, 70)
_THREADS = 2


@dataclass(frozen=True, slots=True)
class Range:
    """From the lowest to the highest real value that a quantized tensor can hold."""

    low: float
    high: float


def activation_ranges(float_tflite: bytes, pictures: Sequence[Image]) -> dict[str, Range]:
    """Ranges of the input and of all that a float model computes, by tensor name.

    Args:
        float_tflite: with one ``(1, H, W, C) float32`` input of raw pixels.
        pictures: prepared, ``(H, W, C) uint8`` each.
    """
    interpreter = watched(float_tflite)
    given = interpreter.get_input_details()[0]
    names = computed(interpreter)
    rng = np.random.default_rng(0)
    limits: dict[int, tuple[float, float]] = dict.fromkeys(names, (0.0, 0.0))  # zero is always in it: padding
    samples: dict[int, list[npt.NDArray[np.float32]]] = {number: [] for number in names}
    for picture in pictures:
        interpreter.set_tensor(given["index"], picture[None].astype(np.float32))
        interpreter.invoke()
        for number in names:
            values = interpreter.get_tensor(number).ravel()
            low, high = limits[number]
            limits[number] = min(low, float(values.min())), max(high, float(values.max()))
            samples[number].append(
                values if values.size <= _PER_PICTURE else values[rng.integers(0, values.size, _PER_PICTURE)]
            )
    ranges = {names[number]: best_range(np.concatenate(samples[number]), *limits[number]) for number in names}
    # All of a pixel, so that its scale becomes exactly 1 and its zero point 0, whatever the pictures hold.
    return {str(given["name"]): Range(0.0, 255.0), **ranges}


def best_range(values: npt.NDArray[np.float32], low: float, high: float) -> Range:
    """The range within ``low`` … ``high`` in which 256 steps reproduce the values best; both signs of it hold zero."""
    if values.size < _ENOUGH or low == high:
        return Range(low, high)
    values = np.sort(values[values != 0.0].astype(np.float64))  # zero is always exact
    lows, highs = _CUTS * low, _CUTS * high
    clipped_low = np.array([np.square(values[: np.searchsorted(values, cut)] - cut).sum() for cut in lows])
    clipped_high = np.array([np.square(values[np.searchsorted(values, cut) :] - cut).sum() for cut in highs])
    steps = (highs[None, :] - lows[:, None]) / _STEPS
    errors = clipped_low[:, None] + clipped_high[None, :] + values.size * np.square(steps) / 12  # rounding: uniform
    row, column = np.unravel_index(int(np.argmin(errors)), errors.shape)
    return Range(float(lows[row]), float(highs[column]))


def as_statistics(ranges: Mapping[str, Range]) -> dict[str, dict[str, npt.NDArray[np.float32]]]:
    """What the quantizer wants to know, in its form."""
    return {
        name: {"min": np.array([[r.low]], np.float32), "max": np.array([[r.high]], np.float32)}
        for name, r in ranges.items()
    }


def watched(content: bytes) -> Any:  # noqa: ANN401  the library has no types
    """An interpreter that keeps everything in between, ready to run."""
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that this takes memory, and is not for every day
        interpreter = Interpreter(model_content=content, num_threads=_THREADS, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    return interpreter


def computed(interpreter: Any) -> dict[int, str]:  # noqa: ANN401  as above
    """Numbers and names of the real-valued tensors that its operators write."""
    details = {int(each["index"]): each for each in interpreter.get_tensor_details()}
    return {
        number: str(details[number]["name"])
        for number in _written(interpreter._get_ops_details())  # noqa: SLF001  there is no public way to ask
        if number in details and details[number]["dtype"] == np.float32
    }


def _written(operators: Iterable[dict[str, Any]]) -> list[int]:
    return [int(number) for each in operators if each["op_name"] != "DELEGATE" for number in each["outputs"]]
