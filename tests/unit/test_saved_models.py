"""Saved models, as far as they can be judged without loading them."""

from __future__ import annotations

import json
import pickle
import shlex
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edge.errors import UsageError
from edge.model_card import Kind
from trainer.saved.checks import check_answers, choose_output, picture_shape
from trainer.saved.errors import SavedModelError
from trainer.saved.formats import detect
from trainer.saved.head import Ending, choose_head, confirm_ending
from trainer.saved.inspection import inspect
from trainer.saved.protocol import Port, Request, decode_request, encode_request
from trainer.saved.questions import complete
from trainer.saved.safety import dangers_in_config, dangers_in_program
from trainer.saved.weights import problems

DENSE = {
    "class_name": "Dense",
    "config": {"name": "dense", "units": 2, "kernel_initializer": {"class_name": "GlorotUniform", "config": {}}},
}


def model(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": list(layers)}}


def write_h5(path: Path, config: dict[str, Any] | str, **attributes: str) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"
        for name, value in attributes.items():
            file.attrs[name] = value
        file.create_dataset("model_weights/dense/kernel:0", data=np.ones((3, 2), np.float32))
    return path


def write_keras(path: Path, config: dict[str, Any], extra: tuple[str, ...] = ()) -> Path:
    with h5py.File(path.with_suffix(".weights"), "w") as file:
        file.create_dataset("layers/dense/vars/0", data=np.ones((3, 2), np.float32))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.9.0"}))
        archive.write(path.with_suffix(".weights"), "model.weights.h5")
        for name in extra:
            archive.writestr(name, b"")
    return path


# What a file is


def test_formats_are_told_apart_by_content_and_not_by_name(tmp_path: Path) -> None:
    assert detect(write_h5(tmp_path / "from_r.hdf5", model(DENSE))) == "hdf5"
    assert detect(write_h5(tmp_path / "misnamed.keras", model(DENSE))) == "hdf5"
    assert detect(write_keras(tmp_path / "misnamed.h5", model(DENSE))) == "keras"
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/saved_model.pb").write_bytes(b"x")
    assert detect(tmp_path / "saved") == "savedmodel"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"just some notes", "is no saved Keras model"),
        (pickle.dumps({"weights": [1, 2]}), "is a Python pickle, which runs code when it is read"),
        (b"\x20\0\0\0TFL3" + bytes(100), "is a TFLite model already"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "is a Git LFS pointer"),
        (b'{"class_name": "Sequential"}', "is an architecture without weights"),
        (b"PK\x03\x04 and then nothing", "begins as a zip and is none"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(content)
    with pytest.raises(SavedModelError, match=words):
        inspect(path)


def test_a_missing_file_and_a_folder_of_something_else_are_named(tmp_path: Path) -> None:
    with pytest.raises(SavedModelError, match="No such file"):
        inspect(tmp_path / "nothing.h5")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SavedModelError, match=r"no saved_model\.pb in this folder .it holds notes.txt"):
        inspect(tmp_path)


def test_a_pytorch_file_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("model/data.pkl", b"")
    with pytest.raises(SavedModelError, match="is a PyTorch file"):
        inspect(tmp_path / "model.keras")


def test_weights_alone_are_explained(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = ["dense"]
        file.create_group("dense")
    with pytest.raises(SavedModelError, match=r"holds weights only.*load_weights"):
        inspect(tmp_path / "w.h5")


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.9])
def test_a_cut_file_is_refused(tmp_path: Path, keep: float) -> None:
    for path in (write_h5(tmp_path / "m.h5", model(DENSE)), write_keras(tmp_path / "m.keras", model(DENSE))):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])
        with pytest.raises(SavedModelError, match="damaged"):
            inspect(path)


def test_a_configuration_that_is_no_model_is_refused(tmp_path: Path) -> None:
    for config in ("{", "[1]", '{"layers": []}'):
        with pytest.raises(SavedModelError, match="damaged"):
            inspect(write_h5(tmp_path / "m.h5", config))


def test_an_inspection_says_who_saved_it_and_what_speaks_for_a_mode(tmp_path: Path) -> None:
    scaling = {"class_name": "Rescaling", "config": {"name": "r", "scale": 0.5, "offset": -1}}
    found = inspect(write_h5(tmp_path / "m.h5", model(scaling, model(DENSE, DENSE))))
    assert (found.saved_by, found.model_class, found.layers, found.dangers) == ("Keras 2.15.0", "Sequential", 3, ())
    assert "--mode raw" in found.hints[0]


def test_channels_first_is_an_obstacle(tmp_path: Path) -> None:
    layer = {"class_name": "Conv2D", "config": {"name": "c", "data_format": "channels_first"}}
    assert "channels_first" in inspect(write_h5(tmp_path / "m.h5", model(layer))).obstacles[0]


# What it could do


@pytest.mark.parametrize(
    "layer",
    [
        {"class_name": "Lambda", "config": {"name": "x", "function": ["4wEA", None, None]}},
        {"class_name": "Dense", "config": {"activation": {"class_name": "__lambda__", "config": {"value": ""}}}},
        {"class_name": "TFOpLambda", "config": {"name": "x", "function": "io.write_file"}},
        {"class_name": "TFOpLambda", "config": {"name": "x", "function": "numpy_function"}},
        {"class_name": "TFOpLambda"},
        {"class_name": "TensorFlowOpLayer", "config": {"node_def": {"op": "WriteFile"}}},
        {"class_name": "system", "module": "os", "config": "id", "registered_name": None},
        {"class_name": "Dense", "module": "evil.layers", "config": {}},
        {"class_name": "function", "module": "builtins", "config": "exec", "registered_name": "function"},
        {"class_name": "function", "module": "keras.config", "config": "enable_unsafe_deserialization"},
        {"class_name": "TorchModuleWrapper", "module": "keras.layers", "config": {}},
        {"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": "/x"}},
        {"class_name": "StringLookup", "module": "keras.layers", "config": {"vocabulary": "/etc/passwd"}},
        {"class_name": "Wavelet", "config": {}, "registered_name": "Custom>Wavelet"},
        {"class_name": "MyOwnLayer", "config": {}},
        {"class_name": "Bidirectional", "config": {"layer": {"class_name": "Lambda", "config": {}}}},
    ],
)
def test_what_could_run_code_is_a_danger_however_deep_it_lies(layer: dict[str, Any]) -> None:
    assert dangers_in_config(model(layer))
    hidden = {**DENSE, "build_config": {"input_shape": [{"anything": [model(layer)]}]}}
    assert dangers_in_config(model(DENSE, model(hidden)))


@pytest.mark.parametrize(
    "layer",
    [
        DENSE,
        {"class_name": "Conv2D", "module": "keras.layers", "config": {"name": "c"}, "registered_name": None},
        {"class_name": "Functional", "module": "tf_keras.src.engine.functional", "config": {"layers": []}},
        {"class_name": "TFOpLambda", "config": {"name": "t", "function": "math.multiply"}},
        {"class_name": "SlicingOpLambda", "config": {"name": "t", "function": "__operators__.getitem"}},
        {"class_name": "Mean", "module": "keras.src.ops.numpy", "config": {"axis": [1, 2]}},
        {"class_name": "DTypePolicy", "module": "keras", "config": {"name": "float32"}},
    ],
)
def test_ordinary_parts_of_picture_models_are_no_danger(layer: dict[str, Any]) -> None:
    assert dangers_in_config(model(layer)) == ()


def test_somebodys_own_loss_is_no_danger_because_training_settings_are_never_loaded() -> None:
    own = {"loss": {"class_name": "function", "module": "builtins", "config": "focal"}}
    assert dangers_in_config({**model(DENSE), "compile_config": own}) == ()


def test_a_configuration_as_deep_as_a_well_is_no_trouble() -> None:
    deep: Any = DENSE
    for _ in range(50_000):
        deep = [deep]
    assert dangers_in_config({"class_name": "Sequential", "config": deep}) == ()


def test_a_program_that_writes_files_is_a_danger() -> None:
    assert dangers_in_program(b"...\x12\x09WriteFile...") == (
        "operation WriteFile reaches files or code outside the model",
    )
    assert dangers_in_program(b"Conv2D Relu SaveV2 RestoreV2") == ()


def test_weights_that_lie_in_another_file_are_refused(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "m.h5", model(DENSE))
    (tmp_path / "secret").write_bytes(bytes(24))
    with h5py.File(path, "r+") as file:
        file.create_dataset("model_weights/x", (3, 2), "f4", external=[(str(tmp_path / "secret"), 0, 24)])
    with pytest.raises(SavedModelError, match="lies in another file"):
        inspect(path)
    path = write_h5(tmp_path / "n.h5", model(DENSE))
    with h5py.File(path, "r+") as file:
        file["model_weights/y"] = h5py.ExternalLink("other.h5", "/secret")
    with pytest.raises(SavedModelError, match=r"lies in another file, 'other\.h5'"):
        inspect(path)


def test_a_group_that_contains_itself_does_not_hang(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "m.h5", model(DENSE))
    with h5py.File(path, "r+") as file:
        file["model_weights/again"] = file["model_weights"]
    assert inspect(path).layers == 1


def test_a_zip_that_wants_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SavedModelError, match="outside its own folder"):
        inspect(write_keras(tmp_path / "m.keras", model(DENSE), extra=("../../.bashrc",)))


# Whether it really loaded


def test_weights_are_compared_with_those_of_the_file() -> None:
    from trainer.saved.weights import _digest

    kernel, bias = np.ones((3, 2), np.float32), np.zeros(2, np.float32)
    known = frozenset({_digest(kernel), _digest(bias)})
    assert problems([("kernel", kernel), ("bias", bias), ("seed", np.array([1, 2], np.uint32))], known) == []
    assert "2 of its 2 weights are not those of the file: kernel, bias" in problems(
        [("kernel", kernel.T), ("bias", bias + 1)], known
    )[0].replace("  ", " ")
    assert "not finite" in problems([("kernel", kernel * np.nan)], known)[0]
    assert problems([("bias", bias)], known) == ["all of its weights are zero"]
    assert problems([], known) == ["it has no weights at all"]


@pytest.mark.parametrize("answers", [np.full((4, 3), np.nan), np.full((4, 3), 1 / 3), np.tile([0.2, 0.8], (4, 1))])
def test_answers_that_are_no_numbers_or_never_change_are_refused(answers: np.ndarray) -> None:
    with pytest.raises(SavedModelError):
        check_answers(answers)


def test_answers_that_differ_are_fine() -> None:
    check_answers(np.random.default_rng(0).random((4, 3)))


@pytest.mark.parametrize(
    ("shape", "size", "result"),
    [
        ((None, 32, 48, 3), None, (32, 48, 3)),
        ((None, 32, 48, 1), (32, 48), (32, 48, 1)),
        ((None, None, None, 3), (64, 80), (64, 80, 3)),
    ],
)
def test_the_size_is_the_models_or_as_told(
    shape: tuple[int | None, ...], size: tuple[int, int] | None, result: tuple[int, ...]
) -> None:
    assert picture_shape([Port("x", shape, "float32")], size) == result


@pytest.mark.parametrize(
    ("ports", "size", "words"),
    [
        ([Port("x", (None, None, None, 3), "float32")], None, "--size"),
        ([Port("x", (None, 32, 32, 3), "float32")], (64, 64), "the model takes 32"),
        ([Port("x", (None, 3, 32, 32), "float32")], None, "channels_first"),
        ([Port("x", (None, 32, 32, 12), "float32")], None, "no ordinary pictures"),
        ([Port("x", (None, 10), "float32")], None, "takes no pictures"),
        ([Port("x", (None,), "string")], None, "takes no pictures"),
        ([Port("x", (None, 8, 8, 3), "float32"), Port("y", (None, 2), "float32")], None, "takes 2 inputs"),
        ([], None, "takes 0 inputs"),
    ],
)
def test_what_takes_no_picture_is_refused(ports: list[Port], size: tuple[int, int] | None, words: str) -> None:
    with pytest.raises(SavedModelError, match=words):
        picture_shape(ports, size)


def test_one_of_several_outputs_must_be_named() -> None:
    outputs = [Port("scores", (None, 3), "float32"), Port("box", (None, 4), "float32")]
    assert choose_output(outputs, "box") == "box"
    assert choose_output(outputs[:1], None) == "scores"
    for told in (None, "boxes"):
        with pytest.raises(SavedModelError, match=r"scores .*box .*--output NAME"):
            choose_output(outputs, told)


# What its output means


@pytest.mark.parametrize(
    ("operation", "outputs", "ending"),
    [
        ("Softmax", [[0.5, 0.5]], "softmax"),
        ("Sigmoid", [[0.5, 0.5]], "sigmoid"),
        ("RealDiv", [[0.2, 0.8], [0.5, 0.5]], "softmax"),
        ("BiasAdd", [[0.2, 0.8], [3.0, -2.0]], "linear"),
        ("BiasAdd", [[1.0]], "linear"),
    ],
)
def test_the_ending_is_recognised(operation: str, outputs: list[list[float]], ending: str) -> None:
    assert confirm_ending(operation, np.array(outputs, np.float32)) == ending


@pytest.mark.parametrize(
    ("ending", "values", "told", "labels", "kind", "added"),
    [
        ("softmax", 3, None, 3, "classify", None),
        ("linear", 3, None, 3, "classify", "softmax"),
        ("sigmoid", 3, None, 3, "multilabel", None),
        ("sigmoid", 3, "classify", 3, "classify", None),
        ("linear", 3, "multilabel", 3, "multilabel", "sigmoid"),
        ("sigmoid", 1, None, 2, "binary", None),
        ("linear", 1, "binary", 2, "binary", "sigmoid"),
        ("linear", 512, "embed", None, "embed", None),
    ],
)
def test_the_kind_follows_from_the_ending_or_is_as_told(
    ending: Ending, values: int, told: Kind | None, labels: int | None, kind: str, added: str | None
) -> None:
    head = choose_head(ending, (values,), told=told, labels=labels)
    assert (head.kind, head.added) == (kind, added)


@pytest.mark.parametrize(
    ("ending", "shape", "told", "labels", "words"),
    [
        ("softmax", (3,), None, None, "--labels FILE, or --kind embed"),
        ("softmax", (3,), None, 4, "4 labels do not match the model's 3 outputs"),
        ("sigmoid", (1,), None, 1, "2 lines"),
        ("softmax", (3,), "multilabel", 3, "contradicts"),
        ("softmax", (3,), "binary", 3, "single output"),
        ("linear", (7, 7, 512), None, 3, "--kind embed"),
    ],
)
def test_what_was_not_said_or_cannot_be_names_the_flag(
    ending: Ending, shape: tuple[int, ...], told: Kind | None, labels: int | None, words: str
) -> None:
    with pytest.raises(SavedModelError, match=words):
        choose_head(ending, shape, told=told, labels=labels)


@pytest.mark.parametrize(
    ("missing", "flag"), [("mode", "--mode tf, caffe"), ("labels", "--labels FILE"), ("calibration", "--calibration")]
)
def test_what_nobody_said_is_refused_where_nobody_can_be_asked(missing: str, flag: str) -> None:
    told: dict[str, Any] = {"mode": "tf", "labels": Path("l"), "calibration": Path("c"), missing: None}
    with pytest.raises(UsageError, match=flag):
        complete(Path("m.h5"), **told, is_embed=False, hints=(), can_ask=False)


def test_a_request_survives_its_way_to_the_child(tmp_path: Path) -> None:
    odd = tmp_path / "mod\udcffel.h5"  # a file name that is no UTF-8
    request = Request(action="export", path=odd, folder=tmp_path, mode="0..1", size_px=(3, 4), pictures=(odd,))
    assert decode_request(encode_request(request)) == request


DOCUMENTS = ("docs/convert.md", "examples/recipes/convert-saved-model.sh")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_documented_commands_are_understood(repository: Path, document: str) -> None:
    from trainer.cli import build_parser

    lines = (repository / document).read_text(encoding="utf-8").splitlines()
    commands = [line.split("#")[0] for line in lines if line.startswith("sightpost-train convert ")]
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command.replace('"$4"', "tf"))
        assert build_parser().parse_args(words[1:]).run
