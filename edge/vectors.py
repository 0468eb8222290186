"""Numbers as compact text: little-endian values in base64, with their shape; in cards and in messages.

Three ways: ``float16`` (2 bytes a value, 3 digits), ``int8`` (1 byte a value and one scale), ``list`` (JSON numbers).
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.packed import PackedArray

if TYPE_CHECKING:
    import numpy.typing as npt

    from edge.packed import Encoding

_LIMITS = {"float16": float(np.finfo(np.float16).max), "int8": 127.0}
_TYPES: dict[str, np.dtype[Any]] = {"float16": np.dtype("<f2"), "int8": np.dtype("i1")}
_DIGITS = 6  # of a float32, which is what a model gives


def pack(values: npt.NDArray[np.floating[Any]], encoding: Encoding) -> PackedArray:
    """Write an array as text; what is no number, or too large for the encoding, becomes 0 or the largest."""
    shape = tuple(int(size) for size in values.shape)
    flat = np.nan_to_num(values.ravel().astype(np.float64))
    if encoding == "list":
        return PackedArray(encoding=encoding, shape=shape, data=tuple(float(f"{v:.{_DIGITS}g}") for v in flat))
    largest = float(np.abs(flat).max(initial=0.0))
    scale = (largest / _LIMITS["int8"] or 1.0) if encoding == "int8" else 1.0
    limit = _LIMITS[encoding]
    steps = np.clip(np.rint(flat / scale) if encoding == "int8" else flat, -limit, limit)
    data = base64.b64encode(steps.astype(_TYPES[encoding]).tobytes()).decode()
    return PackedArray(encoding=encoding, shape=shape, data=data, scale=scale)


def unpack(packed: PackedArray) -> npt.NDArray[np.float32]:
    """The array that was packed, within the encoding's precision.

    Raises:
        ValueError: the text is no base64, or does not fill the shape.
    """
    if isinstance(packed.data, str) == (packed.encoding == "list") or min(packed.shape, default=0) < 0:
        raise ValueError(f"no {packed.encoding} of the shape {packed.shape}")
    if isinstance(packed.data, tuple):
        return np.array(packed.data, dtype=np.float32).reshape(packed.shape)
    try:
        content = base64.b64decode(packed.data, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
    values = np.frombuffer(content, _TYPES[packed.encoding]).astype(np.float32).reshape(packed.shape)
    return np.asarray(values * np.float32(packed.scale), dtype=np.float32)


def unit(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The vector at length 1 (L2), all dimensions taken as one; a zero vector stays as it is."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0.0 else vector
