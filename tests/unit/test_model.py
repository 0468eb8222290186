from __future__ import annotations

import importlib.util
import shutil
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import COLORS, foreign_model, plain, tiny_flatbuffer, tiny_model

from edge.errors import ModelFileError, SightpostError
from edge.model import Model, Prediction
from edge.model_card import Golden, InputSpec
from edge.model_file import CARD_ENTRY, GoldenSamples, write_model_file
from edge.preprocess import prepare
from edge.runtime import EMBEDDING, SCORES, Engine

if TYPE_CHECKING:
    from pathlib import Path

    from edge.model_card import Kind

    Color = Literal["rgb", "bgr"]
    Policy = Literal["stretch", "crop", "letterbox"]
    InputType = Literal["uint8", "int8", "float32"]


def sealed(path: Path, *, golden: GoldenSamples | None = None, tolerance: float = 0.01, **card: object) -> Path:
    """The tiny model with other golden samples or another card, written as if that were right."""
    tiny = tiny_model()
    golden = golden or tiny.golden
    assert golden is not None
    promised = Golden(count=len(golden.frames), tolerance=tolerance)
    write_model_file(path, tiny.flatbuffer, msgspec.structs.replace(tiny.card, golden=promised, **card), golden)
    return path


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(ModelFileError) as caught:
        Model.load(path, **settings)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


class TestAnswers:
    @pytest.mark.parametrize("color", COLORS)
    def test_a_classifier_names_what_it_sees(self, model_path: Path, color: str) -> None:
        prediction = Model.load(model_path).predict(plain(color))
        assert prediction.label == color
        assert prediction.score > 0.8
        assert prediction.labels == COLORS
        assert prediction.scores.dtype == np.float32
        assert float(prediction.scores.sum()) == pytest.approx(1, abs=0.02)
        assert prediction.embedding is None

    def test_a_model_knows_its_name_version_and_kind(self, model_path: Path) -> None:
        model = Model.load(model_path)
        assert (model.name, model.version, model.kind, model.labels) == ("colors", "1", "classify", COLORS)

    def test_a_region_is_asked_of_alone(self, model_path: Path) -> None:
        frame = np.hstack([plain("red"), plain("blue")])
        model = Model.load(model_path)
        assert model.predict(frame, roi=(0.0, 0.0, 0.5, 1.0)).label == "red"
        assert model.predict(frame, roi=(0.5, 0.0, 1.0, 1.0)).label == "blue"

    @pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
    @pytest.mark.parametrize("color", ["rgb", "bgr"])
    def test_colours_reach_the_model_in_its_order(self, tmp_path: Path, color: Color, resize: Policy) -> None:
        model = Model.load(tiny_model(color=color, resize=resize).write(tmp_path / "m.tflite"))
        # The tiny model's first class answers to the first channel.
        assert model.predict(plain("red")).label == ("red" if color == "rgb" else "blue")

    def test_a_frame_of_just_the_right_size_may_be_part_of_another(self, tmp_path: Path) -> None:
        model = Model.load(tiny_model(color="bgr", size_px=16).write(tmp_path / "m.tflite"))
        frame = np.hstack([plain("red", height_px=16), plain("green", height_px=16)])
        part = frame[:, 40:56]
        assert not part.flags["C_CONTIGUOUS"]
        assert model.predict(part).label == "green"

    def test_a_gray_model_sees_brightness(self, tmp_path: Path) -> None:
        model = Model.load(tiny_model(color="gray", labels=("bright", "dark")).write(tmp_path / "m.tflite"))
        bright, dark = (np.full((9, 9, 3), level, np.uint8) for level in (250, 5))
        assert model.predict(bright).score_of("bright") > model.predict(dark).score_of("bright") + 0.3

    def test_a_sigmoid_answers_for_the_second_of_two_labels(self, tmp_path: Path) -> None:
        model = Model.load(tiny_model(kind="binary", labels=("other", "red")).write(tmp_path / "m.tflite"))
        red, blue = (model.predict(plain(color)) for color in ("red", "blue"))
        assert (red.label, blue.label) == ("red", "other")
        assert float(red.scores.sum()) == pytest.approx(1)
        assert red.scores.shape == (2,)

    def test_a_multilabel_model_scores_each_label_alone(self, tmp_path: Path) -> None:
        model = Model.load(tiny_model(kind="multilabel").write(tmp_path / "m.tflite"))
        yellow = np.full((8, 8, 3), (0, 240, 240), np.uint8)
        prediction = model.predict(yellow)
        assert [label for label in COLORS if prediction.score_of(label) > 0.5] == ["red", "green"]

    def test_an_embed_model_gives_a_vector_and_no_scores(self, tmp_path: Path) -> None:
        model = Model.load(tiny_model(kind="embed").write(tmp_path / "m.tflite"))
        prediction = model.predict(plain("red"))
        assert model.labels == prediction.labels == ()
        assert prediction.scores.size == 0
        assert prediction.embedding is not None
        assert prediction.embedding.tolist() == [230, 20, 20]

    @pytest.mark.parametrize("outputs", [(SCORES, EMBEDDING), (EMBEDDING, SCORES)])
    def test_outputs_are_told_apart_by_name_whatever_their_order(
        self, tmp_path: Path, outputs: tuple[str, str]
    ) -> None:
        prediction = Model.load(tiny_model(outputs=outputs).write(tmp_path / "m.tflite")).predict(plain("blue"))
        assert prediction.label == "blue"
        assert prediction.embedding is not None
        assert prediction.embedding.tolist() == [20, 20, 230]

    def test_answers_do_not_change_behind_ones_back(self, model_path: Path) -> None:
        model = Model.load(model_path)
        first = model.predict(plain("red"))
        kept = first.scores.copy()
        model.predict(plain("blue"))
        assert np.array_equal(first.scores, kept)

    def test_several_threads_answer_the_same(self, model_path: Path) -> None:
        one, two = (Model.load(model_path, threads=threads).predict(plain("red")) for threads in (1, 2))
        assert np.array_equal(one.scores, two.scores)


class TestPrediction:
    PREDICTION = Prediction(("a", "b", "c", "d"), np.array([0.1, 0.4, 0.1, 0.4], np.float32))

    def test_the_best_come_first_and_equals_in_their_order(self) -> None:
        assert [label for label, _ in self.PREDICTION.top(3)] == ["b", "d", "a"]
        assert [score for _, score in self.PREDICTION.top(3)] == pytest.approx([0.4, 0.4, 0.1])

    def test_more_than_there_are_gives_all(self) -> None:
        assert len(self.PREDICTION.top(100)) == 4

    def test_label_score_and_score_of(self) -> None:
        assert self.PREDICTION.label == "b"
        assert self.PREDICTION.score == pytest.approx(0.4)
        assert self.PREDICTION.score_of("c") == pytest.approx(0.1)

    def test_of_two_classes_with_one_name_the_answer_has_its_own_score(self) -> None:
        cranes = Prediction(("crane", "dog", "crane"), np.array([0.1, 0.2, 0.7], np.float32))
        assert (cranes.label, cranes.score) == ("crane", pytest.approx(0.7))
        assert [label for label, _ in cranes.top(3)] == ["crane", "dog", "crane"]

    @given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20), st.integers(1, 25))
    def test_top_is_a_sorted_choice_of_the_scores(self, scores: list[float], count: int) -> None:
        prediction = Prediction(tuple(f"{n}" for n in range(len(scores))), np.array(scores, np.float32))
        top = prediction.top(count)
        assert [score for _, score in top] == sorted(scores, reverse=True)[:count]
        assert top[0] == (prediction.label, prediction.score)
        assert len({label for label, _ in top}) == len(top)


class TestGoldenSamples:
    FRAMES = tuple(plain(color) for color in COLORS)

    def test_a_file_that_answers_as_in_training_is_taken(self, model_path: Path) -> None:
        assert Model.load(model_path).prove() <= 0.01

    @pytest.mark.parametrize("kind", ["classify", "binary", "multilabel", "embed"])
    def test_every_kind_is_proven(self, tmp_path: Path, kind: Kind) -> None:
        labels = ("other", "red") if kind == "binary" else COLORS
        path = tiny_model(kind=kind, labels=labels).write(tmp_path / "m.tflite")
        assert Model.load(path).prove() == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize("outputs", [(SCORES, EMBEDDING), (EMBEDDING, SCORES)])
    def test_the_scores_are_proven_where_there_is_an_embedding_too(
        self, tmp_path: Path, outputs: tuple[str, str]
    ) -> None:
        assert Model.load(tiny_model(outputs=outputs).write(tmp_path / "m.tflite")).prove() == pytest.approx(
            0, abs=1e-6
        )

    def test_another_answer_than_in_training_is_refused(self, tmp_path: Path) -> None:
        scores = np.eye(3, dtype=np.float32)[::-1].copy()
        message = refusal(sealed(tmp_path / "m.tflite", golden=GoldenSamples(self.FRAMES, scores)))
        assert "answers differently on this device than in training" in message
        assert "0.010 is allowed" in message
        assert "do not trust it" in message

    def test_the_allowed_difference_is_that_of_the_card(self, tmp_path: Path) -> None:
        tiny = tiny_model()
        assert tiny.golden is not None
        near = GoldenSamples(self.FRAMES, tiny.golden.scores + np.float32(0.04))
        assert Model.load(sealed(tmp_path / "a.tflite", golden=near, tolerance=0.05)).prove() == pytest.approx(0.04)
        assert "off by 0.040 and 0.030" in refusal(sealed(tmp_path / "b.tflite", golden=near, tolerance=0.03))

    def test_one_wrong_sample_of_many_is_enough(self, tmp_path: Path) -> None:
        tiny = tiny_model()
        assert tiny.golden is not None
        scores = tiny.golden.scores.copy()
        scores[2, 0] += 0.2
        assert "off by 0.200" in refusal(sealed(tmp_path / "m.tflite", golden=GoldenSamples(self.FRAMES, scores)))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_a_golden_score_that_is_no_number_is_refused(self, tmp_path: Path, value: float) -> None:
        scores = np.full((3, 3), value, np.float32)
        refusal(sealed(tmp_path / "m.tflite", golden=GoldenSamples(self.FRAMES, scores), tolerance=1e9))

    def test_a_model_that_answers_with_no_number_is_refused(self, tmp_path: Path) -> None:
        flatbuffer = tiny_flatbuffer(input_type="float32", bias=float("nan"), metadata={CARD_ENTRY: b"1"})
        tiny = tiny_model()
        card = msgspec.structs.replace(
            tiny.card, input=InputSpec(scaling="raw"), golden=Golden(count=3, tolerance=1e9)
        )  # fmt: skip
        write_model_file(tmp_path / "m.tflite", flatbuffer, card, tiny.golden)
        assert "answers differently" in refusal(tmp_path / "m.tflite")

    @pytest.mark.parametrize("shape", [(3, 2), (3, 4), (3, 3, 1), (3, 1)])
    def test_golden_scores_of_another_shape_are_refused(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        scores = np.zeros(shape, np.float32)
        refusal(sealed(tmp_path / "m.tflite", golden=GoldenSamples(self.FRAMES, scores), tolerance=1e9))

    def test_a_file_without_them_is_taken_as_it_is(self, tmp_path: Path) -> None:
        assert Model.load(tiny_model(golden_frames=()).write(tmp_path / "m.tflite")).prove() == 0.0


class TestDisagreement:
    @pytest.mark.parametrize(
        ("spec", "reason"),
        [
            (InputSpec(height_px=17, width_px=16), "input.height_px is 17, but the model's tensor has 16"),
            (InputSpec(height_px=16, width_px=224), "input.width_px is 224, but the model's tensor has 16"),
            (InputSpec(color="gray"), "input.color is 'gray', but the model's tensor has 3 channels"),
        ],
    )
    def test_an_input_that_is_not_the_tensors(self, tmp_path: Path, spec: InputSpec, reason: str) -> None:
        assert reason in refusal(sealed(tmp_path / "m.tflite", input=spec))

    def test_a_colour_input_of_a_gray_tensor(self, tmp_path: Path) -> None:
        path, labels = foreign_model(tmp_path / "m.tflite", shape=(1, 8, 8, 1))
        reason = "input.color is 'rgb', but the model's tensor has 1 channels"
        assert reason in refusal(path, labels=labels, spec=InputSpec(color="rgb"))
        assert Model.load(path, labels=labels).spec.color == "gray"

    @pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c", "d"), ("a",)])
    def test_labels_that_are_not_the_outputs(self, tmp_path: Path, labels: tuple[str, ...]) -> None:
        message = refusal(sealed(tmp_path / "m.tflite", labels=labels))
        assert f"{len(labels)} labels do not match the model's 3 outputs" in message

    def test_an_embed_card_on_a_classifier(self, tmp_path: Path) -> None:
        assert "its card says 'embed'" in refusal(sealed(tmp_path / "m.tflite", kind="embed", labels=()))

    def test_a_classify_card_on_an_embedding(self, tmp_path: Path) -> None:
        tiny = tiny_model(kind="embed")
        card = msgspec.structs.replace(tiny.card, kind="classify", labels=COLORS)
        write_model_file(tmp_path / "m.tflite", tiny.flatbuffer, card, tiny.golden)
        assert "its card says 'classify', but it has no output named 'scores'" in refusal(tmp_path / "m.tflite")

    def test_settings_for_a_file_that_carries_its_own(self, model_path: Path, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("a\nb\nc\n")
        assert "carries its own card" in refusal(model_path, labels=tmp_path / "labels.txt")
        assert "carries its own card" in refusal(model_path, spec=InputSpec(color="bgr"))

    @pytest.mark.parametrize(
        "model",
        [
            {"shape": (1, 16, 16, 4)},
            {"shape": (4, 16, 16, 3)},
            {"shape": (1, 1, 1, 3), "shape_signature": (-1, -1, -1, 3)},
            {"shape": (1, 16, 1, 3), "shape_signature": (1, 16, -1, 3)},
        ],
    )
    def test_an_input_that_is_no_picture_of_fixed_size(self, tmp_path: Path, model: dict[str, Any]) -> None:
        path, labels = foreign_model(tmp_path / "m.tflite", **model)
        message = refusal(path, labels=labels)
        assert "not a picture model" in message
        assert str(list(model.get("shape_signature", model["shape"]))) in message

    def test_an_open_batch_is_one(self, tmp_path: Path) -> None:
        path, labels = foreign_model(tmp_path / "m.tflite", shape_signature=(-1, 16, 16, 3))
        assert Model.load(path, labels=labels).predict(plain("green")).label == "green"

    def test_several_outputs_of_which_none_is_scores(self, tmp_path: Path) -> None:
        path, labels = foreign_model(tmp_path / "m.tflite", outputs=(SCORES, EMBEDDING), signature=False)
        assert "several outputs (real_scores, real_embedding)" in refusal(path, labels=labels)

    @pytest.mark.parametrize("kept", [0.75, 0.9, 0.99])
    def test_a_foreign_file_that_was_cut(self, tmp_path: Path, kept: float) -> None:
        path, labels = foreign_model(tmp_path / "m.tflite")
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
        assert "cannot load the model" in refusal(path, labels=labels, runtime="litert")


class TestRuntime:
    def test_a_runtime_that_is_not_installed_says_what_to_install(self, model_path: Path) -> None:
        if importlib.util.find_spec("tflite_runtime"):
            pytest.skip("both runtimes are installed here")
        with pytest.raises(SightpostError, match="no TFLite runtime 'tflite-runtime' is installed here; install"):
            Model.load(model_path, runtime="tflite-runtime")

    def test_real_values_are_widened_before_the_zero_point_is_taken_off(self) -> None:
        engine = Engine(tiny_flatbuffer(input_type="int8", input_scale=(0.5, 100)), name="m")
        values = np.array([-128, 0, 127], np.int8)
        assert engine.input.real(values).tolist() == [-114.0, -50.0, 13.5]

    def test_the_engine_answers_with_named_real_values(self) -> None:
        engine = Engine(tiny_flatbuffer(outputs=(EMBEDDING, SCORES)), name="m")
        answers = engine.infer(prepare(plain("green"), InputSpec(height_px=16, width_px=16)))
        assert set(answers) == {SCORES, EMBEDDING}
        assert all(values.dtype == np.float32 and values.shape == (3,) for values in answers.values())

    @given(st.data())
    def test_what_is_no_model_is_refused_by_name(self, data: st.DataObject) -> None:
        content = data.draw(st.binary(max_size=200))
        with pytest.raises(ModelFileError, match=r"^gate: litert cannot load the model: "):
            Engine(content, name="gate", runtime="litert")


def test_a_model_file_may_be_moved_after_it_was_loaded(model_path: Path, tmp_path: Path) -> None:
    model = Model.load(model_path)
    shutil.move(model_path, tmp_path / "away.tflite")
    assert model.predict(plain("red")).label == "red"
