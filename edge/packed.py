"""An array as text, in cards and messages; ``edge.vectors`` reads and writes it, and needs NumPy for that."""

from __future__ import annotations

from typing import Literal

import msgspec

Encoding = Literal["float16", "int8", "list"]


class PackedArray(msgspec.Struct, frozen=True, kw_only=True):
    """An array as text.

    Attributes:
        encoding: how ``data`` is to be read.
        shape: of the array, the last dimension varying fastest.
        data: base64 of the values (little-endian), or for ``list`` the numbers themselves, flat.
        scale: what the values of ``int8`` are to be multiplied with; 1 for the others.
    """

    encoding: Encoding
    shape: tuple[int, ...]
    data: str | tuple[float, ...]
    scale: float = 1.0
