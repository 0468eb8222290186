"""Real quantized models that nobody here trained, on photographs whose content is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge.errors import ModelFileError
from edge.model import Model
from edge.model_card import InputSpec
from edge.preprocess import read_picture

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def imagenet(data_dir: Path) -> Model:
    models = data_dir / "models"
    return Model.load(models / "tf2_mobilenet_v2_1.0_224_ptq.tflite", labels=models / "imagenet_labels.txt")


@pytest.fixture(scope="module")
def birds(data_dir: Path) -> Model:
    models = data_dir / "models"
    return Model.load(models / "mobilenet_v2_1.0_224_inat_bird_quant.tflite", labels=models / "inat_bird_labels.txt")


@pytest.mark.parametrize(
    ("picture", "label", "score"),
    [
        ("cat", "Egyptian cat", 0.5),
        ("parrot", "macaw", 0.8),
        ("bird", "chickadee", 0.8),
        ("burger", "cheeseburger", 0.6),
        ("dragonfly", "dragonfly, darning needle", 0.8),
        ("hot_dog", "hotdog, hot dog, red hot", 0.5),
        ("sunflower", "daisy", 0.6),
        ("grace_hopper", "military uniform", 0.4),
    ],
)
def test_imagenet_names_what_is_in_the_picture(
    imagenet: Model, data_dir: Path, picture: str, label: str, score: float
) -> None:
    prediction = imagenet.predict(read_picture(data_dir / "pictures" / f"{picture}.jpg"))
    assert prediction.label.startswith(label)
    assert prediction.score > score


@pytest.mark.parametrize(("picture", "words"), [("cats_and_dogs", ("corgi", "cat")), ("sparrow", ("finch", "junco"))])
def test_imagenet_is_not_far_off_where_its_classes_do_not_fit(
    imagenet: Model, data_dir: Path, picture: str, words: tuple[str, ...]
) -> None:
    top = imagenet.predict(read_picture(data_dir / "pictures" / f"{picture}.jpg")).top(5)
    assert all(any(word in label for label, _ in top) for word in words), top


@pytest.mark.parametrize(
    ("picture", "species"),
    [
        ("bird", "Black-capped Chickadee"),
        ("parrot", "Scarlet Macaw"),
        ("sparrow", "House Sparrow"),
        ("owl", "Burrowing Owl"),
        ("burger", "background"),
        ("cat", "background"),
    ],
)
def test_the_bird_model_names_the_species(birds: Model, data_dir: Path, picture: str, species: str) -> None:
    prediction = birds.predict(read_picture(data_dir / "pictures" / f"{picture}.jpg"))
    assert species in prediction.label
    assert prediction.score > 0.5


def test_a_region_is_all_that_counts(imagenet: Model, data_dir: Path) -> None:
    frame = read_picture(data_dir / "pictures" / "cats_and_dogs.jpg")
    left, right = (imagenet.predict(frame, roi=roi) for roi in ((0.0, 0.0, 0.6, 1.0), (0.5, 0.3, 1.0, 1.0)))
    assert left.top(3) != right.top(3)


@pytest.mark.parametrize("scaling", [None, "-1..1"])
def test_the_scaling_that_the_file_states_changes_nothing(data_dir: Path, scaling: str | None) -> None:
    models = data_dir / "models"
    file, labels = models / "tf2_mobilenet_v2_1.0_224_ptq.tflite", models / "imagenet_labels.txt"
    model = Model.load(file, labels=labels, spec=InputSpec(scaling=scaling))
    assert model.predict(read_picture(data_dir / "pictures" / "cat.jpg")).label == "Egyptian cat"


def test_an_int8_model_that_states_no_scaling_needs_it_from_the_settings(data_dir: Path, tmp_path: Path) -> None:
    file, labels = data_dir / "models" / "vww_96_int8.tflite", tmp_path / "labels.txt"
    labels.write_text("nobody\nperson\n")
    with pytest.raises(ModelFileError, match="give --input scaling=raw"):
        Model.load(file, labels=labels)
    model = Model.load(file, labels=labels, spec=InputSpec(scaling="0..1"))
    found = {
        name: model.predict(read_picture(data_dir / "pictures" / f"{name}.jpg")).label
        for name in ("grace_hopper", "burger", "dragonfly", "sunflower")
    }
    assert found == {"grace_hopper": "person", "burger": "nobody", "dragonfly": "nobody", "sunflower": "nobody"}


def test_wrong_labels_are_counted(data_dir: Path) -> None:
    models = data_dir / "models"
    with pytest.raises(ModelFileError, match="965 labels do not match the model's 1001 outputs"):
        Model.load(models / "tf2_mobilenet_v2_1.0_224_ptq.tflite", labels=models / "inat_bird_labels.txt")


def test_a_real_file_cut_at_any_tenth_is_refused(data_dir: Path, tmp_path: Path) -> None:
    content = (data_dir / "models" / "mobilenet_v1_0.25_128_quant.tflite").read_bytes()
    for tenth in range(10):
        (tmp_path / "m.tflite").write_bytes(content[: len(content) * tenth // 10])
        with pytest.raises(ModelFileError):
            Model.load(tmp_path / "m.tflite", labels=data_dir / "models" / "imagenet_labels.txt", runtime="litert")
