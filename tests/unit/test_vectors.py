"""Numbers as text and back: in cards and in messages."""

from __future__ import annotations

import base64

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edge.packed import Encoding, PackedArray
from edge.vectors import pack, unit, unpack

VECTORS = arrays(np.float32, array_shapes(max_dims=3, max_side=6), elements=st.floats(-1000, 1000, width=32))


@given(VECTORS)
def test_float16_comes_back_within_a_thousandth(vector: np.ndarray) -> None:
    np.testing.assert_allclose(unpack(pack(vector, "float16")), vector, rtol=1e-3, atol=1e-7)


@given(VECTORS)
def test_int8_comes_back_within_half_a_step(vector: np.ndarray) -> None:
    packed = pack(vector, "int8")
    assert packed.shape == vector.shape
    assert np.abs(unpack(packed) - vector).max() <= packed.scale * 0.501


@given(VECTORS)
def test_a_list_comes_back_through_json(vector: np.ndarray) -> None:
    sent = msgspec.json.decode(msgspec.json.encode(pack(vector, "list")), type=PackedArray)
    np.testing.assert_allclose(unpack(sent), vector, rtol=1e-5, atol=1e-9)


def test_the_bytes_are_what_the_document_says() -> None:
    packed = pack(np.array([[0.0, 1.0], [-2.0, 0.5]], np.float32), "float16")
    assert base64.b64decode(str(packed.data)) == bytes.fromhex("0000 003c 00c0 0038")
    assert packed.shape == (2, 2)
    packed = pack(np.array([127.0, -127.0, 1.0], np.float32), "int8")
    assert (base64.b64decode(str(packed.data)), packed.scale) == (bytes([127, 129, 1]), 1.0)


def test_what_is_no_number_or_too_large_stays_readable() -> None:
    found = unpack(pack(np.array([np.nan, 1e9, -1e9], np.float32), "float16"))
    assert found.tolist() == [0.0, 65504.0, -65504.0]


@pytest.mark.parametrize("data", ["%%%", "AAA"])
def test_damaged_text_is_refused(data: str) -> None:
    with pytest.raises(ValueError, match=r"base64|buffer size|reshape"):
        unpack(PackedArray(encoding="float16", shape=(3,), data=data))


@pytest.mark.parametrize(
    ("encoding", "shape", "data"),
    [
        ("list", (3,), "AAAA"),
        ("float16", (3,), (1.0, 2.0, 3.0)),
        ("list", (-1,), (1.0, 2.0)),
        ("int8", (-1, 3), "AQID"),
    ],
)
def test_an_array_that_contradicts_itself_is_refused(
    encoding: Encoding, shape: tuple[int, ...], data: str | tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match="of the shape"):
        unpack(PackedArray(encoding=encoding, shape=shape, data=data))


def test_a_unit_vector_has_length_one_and_zero_stays_zero() -> None:
    assert np.linalg.norm(unit(np.array([3, 4], np.float32))) == pytest.approx(1)
    assert unit(np.zeros(3, np.float32)).tolist() == [0, 0, 0]
