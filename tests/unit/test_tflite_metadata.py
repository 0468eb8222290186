from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import stated_normalization, tiny_flatbuffer, tiny_model

from edge.tflite_metadata import ENTRY_NAME, LABELS_FILE, Normalization, TensorText, build_metadata, read_normalization

if TYPE_CHECKING:
    from pathlib import Path

WRITTEN = build_metadata(
    name="gate",
    version="2026.11",
    description="opens and closes – 門",
    inputs=[TensorText("image", "the picture")],
    outputs=[TensorText("embedding", "a vector"), TensorText("scores", "of each class", has_labels=True)],
    gray=False,
)


@dataclass(frozen=True)
class Table:
    """A flatbuffer table read by hand, with nothing but the format's description: no library, nothing of ours."""

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes) -> Table:
        return cls(data, *struct.unpack_from("<I", data))

    def _field(self, slot: int) -> int | None:
        vtable = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        size = struct.unpack_from("<H", self.data, vtable)[0]
        offset = struct.unpack_from("<H", self.data, vtable + 4 + 2 * slot)[0] if 4 + 2 * slot < size else 0
        return self.at + offset if offset else None

    def _target(self, slot: int) -> int | None:
        field = self._field(slot)
        return None if field is None else field + struct.unpack_from("<I", self.data, field)[0]

    def byte(self, slot: int) -> int:
        field = self._field(slot)
        return 0 if field is None else self.data[field]

    def text(self, slot: int) -> str:
        target = self._target(slot)
        assert target is not None
        length = struct.unpack_from("<I", self.data, target)[0]
        assert self.data[target + 4 + length] == 0
        return self.data[target + 4 : target + 4 + length].decode()

    def table(self, slot: int) -> Table:
        target = self._target(slot)
        assert target is not None
        return Table(self.data, target)

    def tables(self, slot: int) -> list[Table]:
        target = self._target(slot)
        if target is None:
            return []
        places = range(target + 4, target + 4 + 4 * struct.unpack_from("<I", self.data, target)[0], 4)
        return [Table(self.data, place + struct.unpack_from("<I", self.data, place)[0]) for place in places]

    def floats(self, slot: int) -> list[float]:
        target = self._target(slot)
        assert target is not None
        return list(struct.unpack_from(f"<{struct.unpack_from('<I', self.data, target)[0]}f", self.data, target + 4))


class TestWritten:
    """Slots and numbers as in TensorFlow's ``metadata_schema.fbs``."""

    def test_the_identifier_is_that_of_the_schema(self) -> None:
        assert WRITTEN[4:8] == b"M001"

    def test_the_model_is_named(self) -> None:
        model = Table.root(WRITTEN)
        assert [model.text(slot) for slot in (0, 1, 2, 7)] == ["gate", "opens and closes – 門", "2026.11", "1.0.0"]

    def test_the_input_is_a_picture_with_pixels_as_they_are(self) -> None:
        (subgraph,) = Table.root(WRITTEN).tables(3)
        (tensor,) = subgraph.tables(2)
        assert (tensor.text(0), tensor.text(1)) == ("image", "the picture")
        content = tensor.table(3)
        assert content.byte(0) == 2  # ImageProperties
        assert content.table(1).byte(0) == 1  # RGB
        (unit,) = tensor.tables(4)
        assert unit.byte(0) == 1  # NormalizationOptions
        assert (unit.table(1).floats(0), unit.table(1).floats(1)) == ([0.0], [1.0])
        assert (tensor.table(5).floats(0), tensor.table(5).floats(1)) == ([255.0], [0.0])

    def test_a_gray_input_is_said_to_be_grayscale(self) -> None:
        gray = build_metadata(name="", version="", description="", inputs=[TensorText("i", "")], outputs=[], gray=True)
        assert Table.root(gray).tables(3)[0].tables(2)[0].table(3).table(1).byte(0) == 2

    def test_outputs_keep_their_order_and_only_scores_have_labels(self) -> None:
        outputs = Table.root(WRITTEN).tables(3)[0].tables(3)
        assert [tensor.text(0) for tensor in outputs] == ["embedding", "scores"]
        assert outputs[0].tables(6) == []
        (labels,) = outputs[1].tables(6)
        assert labels.text(0) == LABELS_FILE
        assert labels.byte(2) == 2  # TENSOR_AXIS_LABELS

    def test_the_same_words_give_the_same_bytes(self) -> None:
        texts = {"name": "a", "version": "1", "description": ""}
        made = [build_metadata(**texts, inputs=[TensorText("i", "")], outputs=[], gray=False) for _ in range(2)]
        assert made[0] == made[1]


class TestRead:
    def test_what_we_write_reads_as_pixels_as_they_are(self) -> None:
        assert read_normalization(tiny_model().flatbuffer) == Normalization(0.0, 1.0)

    def test_a_file_without_metadata_states_nothing(self) -> None:
        assert read_normalization(tiny_flatbuffer()) is None

    def test_other_metadata_is_passed_over(self) -> None:
        others = {"min_runtime_version": b"1.5.0", "CONVERSION_METADATA": b"\1\2\3"}
        assert read_normalization(tiny_flatbuffer(metadata=others)) is None
        both = tiny_flatbuffer(metadata={**others, ENTRY_NAME: stated_normalization([127.5], [127.5])})
        assert read_normalization(both) == Normalization(127.5, 127.5)

    @pytest.mark.parametrize(
        ("mean", "std", "expected"),
        [
            ([127.5], [127.5], Normalization(127.5, 127.5)),
            ([0.0, 0.0, 0.0], [255.0, 255.0, 255.0], Normalization(0.0, 255.0)),
            ([0.0], [2.0, 2.0], Normalization(0.0, 2.0)),
            ([123.7, 116.8, 103.9], [1.0], None),
            ([0.0], [58.4, 57.1, 57.4], None),
            ([0.0], [0.0], None),
            ([0.0], [-1.0], None),
            ([float("nan")], [1.0], None),
            ([0.0], [float("inf")], None),
            ([], [], None),
            ([127.5], [], None),
        ],
    )
    def test_one_value_for_all_channels_is_understood(
        self, mean: list[float], std: list[float], expected: Normalization | None
    ) -> None:
        assert read_normalization(tiny_flatbuffer(metadata={ENTRY_NAME: stated_normalization(mean, std)})) == expected

    @given(st.binary(max_size=64))
    def test_metadata_of_any_bytes_states_nothing(self, data: bytes) -> None:
        assert read_normalization(tiny_flatbuffer(metadata={ENTRY_NAME: data})) is None

    @given(st.data())
    def test_damaged_metadata_is_read_or_states_nothing(self, data: st.DataObject) -> None:
        damaged = bytearray(stated_normalization([127.5], [127.5]))
        for _ in range(data.draw(st.integers(1, 4))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        found = read_normalization(tiny_flatbuffer(metadata={ENTRY_NAME: bytes(damaged)}))
        assert found is None or found.std > 0

    @pytest.mark.parametrize("size", [0, 3, 8, 100, 500, 1000])
    def test_a_cut_flatbuffer_states_nothing(self, size: int) -> None:
        assert read_normalization(tiny_flatbuffer()[:size]) is None

    @pytest.mark.real_data
    def test_files_of_other_tools_are_understood(self, data_dir: Path) -> None:
        models = data_dir / "models"
        for name in ("tf2_mobilenet_v2_1.0_224_ptq", "mobilenet_v1_0.25_128_quant"):
            content = (models / f"{name}.tflite").read_bytes()
            assert read_normalization(content) == Normalization(127.5, 127.5)
        assert read_normalization((models / "vww_96_int8.tflite").read_bytes()) is None
