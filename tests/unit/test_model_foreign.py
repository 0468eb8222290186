from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from models import foreign_model, plain, stated_normalization

from edge.errors import ModelFileError
from edge.model import Model
from edge.model_card import InputSpec
from edge.runtime import EMBEDDING, SCORES
from edge.tflite_metadata import ENTRY_NAME

if TYPE_CHECKING:
    from pathlib import Path

    InputType = Literal["uint8", "int8", "float32"]


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(ModelFileError) as caught:
        Model.load(path, **settings)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


class TestForeignFiles:
    def test_labels_must_come_from_somewhere(self, tmp_path: Path) -> None:
        path, _ = foreign_model(tmp_path / "m.tflite")
        assert "names no labels; give its 3 labels with --labels FILE" in refusal(path)

    def test_labels_come_from_a_file(self, tmp_path: Path) -> None:
        path, labels = foreign_model(tmp_path / "m.tflite", labels=("rot", "grün", "blau"))
        model = Model.load(path, labels=labels)
        assert model.predict(plain("green")).label == "grün"
        assert (model.name, model.kind) == ("m", "classify")
        assert model.version == model.file.sha256[:12]
        assert model.prove() == 0.0

    def test_outputs_need_no_signature(self, tmp_path: Path) -> None:
        path, labels = foreign_model(tmp_path / "m.tflite", signature=False)
        assert Model.load(path, labels=labels).predict(plain("blue")).label == "blue"

    def test_a_single_sigmoid_takes_two_labels(self, tmp_path: Path) -> None:
        path, labels = foreign_model(
            tmp_path / "m.tflite", classes=1, activation="sigmoid", bias=-2.0, labels=("no", "red")
        )
        assert Model.load(path, labels=labels).predict(plain("red")).label == "red"
        assert Model.load(path, labels=labels).predict(plain("blue")).label == "no"

    @pytest.mark.parametrize("input_type", ["int8", "float32"])
    def test_an_input_that_is_not_uint8_needs_to_know_its_scaling(self, tmp_path: Path, input_type: InputType) -> None:
        path, labels = foreign_model(tmp_path / "m.tflite", input_type=input_type, input_scale=(1 / 255, -128))
        message = refusal(path, labels=labels)
        assert f"its input is {input_type} and nothing says what a pixel becomes" in message
        assert "scaling=0..1" in message

    def test_an_int8_input_without_a_scale_is_refused(self, tmp_path: Path) -> None:
        path, labels = foreign_model(tmp_path / "m.tflite", input_type="int8", input_scale=None)
        assert "its int8 input states no scale" in refusal(path, labels=labels, spec=InputSpec(scaling="0..1"))

    @pytest.mark.parametrize(
        ("model", "scaling", "table"),
        [
            ({"input_type": "uint8"}, None, None),
            ({"input_type": "uint8"}, "raw", None),
            ({"input_type": "uint8", "input_scale": (1 / 255, 0)}, "0..1", None),
            ({"input_type": "uint8", "input_scale": (2.0, 0)}, "raw", (np.arange(256) + 1) // 2),
            ({"input_type": "int8", "input_scale": (1 / 255, -128)}, "0..1", np.arange(256) - 128),
            ({"input_type": "int8", "input_scale": (2 / 255, 0)}, "-1..1", np.clip(np.arange(256) - 127, -128, 127)),
            ({"input_type": "int8", "input_scale": (1.0, -128)}, "raw", np.arange(256) - 128),
            ({"input_type": "float32"}, "raw", np.arange(256)),
            ({"input_type": "float32"}, "0..1", np.arange(256) / 255),
            ({"input_type": "float32"}, "-1..1", np.arange(256) / 127.5 - 1),
        ],
    )
    def test_each_pixel_becomes_the_value_that_its_scaling_says(
        self,
        tmp_path: Path,
        model: dict[str, Any],
        scaling: Literal["raw", "0..1", "-1..1"] | None,
        table: np.ndarray[Any, Any] | None,
    ) -> None:
        path, labels = foreign_model(tmp_path / "m.tflite", **model)
        found = Model.load(path, labels=labels, spec=InputSpec(scaling=scaling))._table
        if table is None:
            assert found is None
        else:
            assert found is not None
            assert found.dtype == np.dtype(model["input_type"])
            np.testing.assert_allclose(found, table, atol=1e-6)

    @pytest.mark.parametrize(
        ("input_type", "scale", "zero_point"),
        [("uint8", 0.007843137718737125, 127), ("uint8", 0.0078125, 128), ("int8", 0.007843137718737125, -1)],
    )
    def test_quantizing_keeps_the_grey_levels_apart(
        self,
        tmp_path: Path,
        input_type: InputType,
        scale: float,
        zero_point: int,
    ) -> None:
        """The quantization of real files: all pixels lie half way between two levels."""
        path, labels = foreign_model(tmp_path / "m.tflite", input_type=input_type, input_scale=(scale, zero_point))
        table = Model.load(path, labels=labels, spec=InputSpec(scaling="-1..1"))._table
        levels = np.arange(256) if table is None else table.astype(int)
        assert len(np.unique(levels)) >= 255
        real = (levels - zero_point) * scale
        assert np.max(np.abs(real - (np.arange(256) / 127.5 - 1))) < 1.01 * scale

    @pytest.mark.parametrize(
        ("mean", "std", "expected"),
        [
            (127.5, 127.5, (np.arange(256) - 127.5) / 127.5),
            (127.0, 128.0, (np.arange(256) - 127.5) / 127.5),
            (128.0, 128.0, (np.arange(256) - 127.5) / 127.5),
            (0.0, 255.0, np.arange(256) / 255),
            (0.0, 256.0, np.arange(256) / 255),
            (0.0, 1.0, np.arange(256.0)),
            (0.0, 2.0, np.arange(256) / 2),
            (0.485, 0.229, (np.arange(256) - 0.485) / 0.229),
            (120.0, 60.0, (np.arange(256) - 120) / 60),
        ],
    )
    def test_the_scaling_may_come_from_tflite_metadata(
        self, tmp_path: Path, mean: float, std: float, expected: np.ndarray[Any, Any]
    ) -> None:
        stated = {ENTRY_NAME: stated_normalization([mean], [std])}
        path, labels = foreign_model(tmp_path / "m.tflite", input_type="float32", metadata=stated)
        table = Model.load(path, labels=labels)._table
        np.testing.assert_allclose(np.asarray(table), expected, rtol=1e-5, atol=1e-5)

    def test_what_the_settings_say_goes_before_the_metadata(self, tmp_path: Path) -> None:
        stated = {ENTRY_NAME: stated_normalization([127.5], [127.5])}
        path, labels = foreign_model(tmp_path / "m.tflite", input_type="float32", metadata=stated)
        model = Model.load(path, labels=labels, spec=InputSpec(scaling="raw"))
        assert model.predict(plain("red")).label == "red"
        np.testing.assert_array_equal(np.asarray(model._table), np.arange(256))

    @pytest.mark.parametrize(
        "model",
        [{"input_type": "float32"}, {"input_type": "int8", "input_scale": (1.0, -128)}, {"shape": (1, 8, 8, 1)}],
    )
    def test_the_table_reaches_the_tensor(self, tmp_path: Path, model: dict[str, Any]) -> None:
        """The embedding of the tiny model is the mean of its real input."""
        path, labels = foreign_model(tmp_path / "m.tflite", outputs=(SCORES, EMBEDDING), **model)
        color = "gray" if "shape" in model else "rgb"
        loaded = Model.load(path, labels=labels, spec=InputSpec(scaling="raw", color=color))
        embedding = loaded.predict(np.full((5, 5, 3), (10, 100, 200), np.uint8)).embedding
        assert embedding is not None
        np.testing.assert_allclose(embedding, [120] if color == "gray" else [200, 100, 10], atol=1)
