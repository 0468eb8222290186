"""An array as text, as it stands in cards and messages; ``edge.vectors`` packs and unpacks it.

On its own, so that reading a configuration does not load NumPy.
"""

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
