"""The same files on both TFLite runtimes: ``tflite-runtime`` lives in an environment of its own, ``.venv-tflite``."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from models import COLORS, plain, tiny_model

from edge.model import Model
from edge.preprocess import read_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LITERT, TFLITE = "litert", "tflite-runtime"

ANSWER = """
import json, sys
from pathlib import Path
from edge.errors import SightpostError
from edge.model import Model
from edge.preprocess import read_picture
pictures = [read_picture(Path(path)) for path in json.loads(sys.argv[2])]
answers = []
for file, labels in json.loads(sys.argv[1]):
    try:
        model = Model.load(Path(file), labels=Path(labels) if labels else None)
    except SightpostError as error:
        answers.append(str(error))
        continue
    predictions = [model.predict(picture) for picture in pictures]
    answers.append({
        "runtime": model.engine.runtime, "off_by": model.prove(),
        "scores": [p.scores.tolist() for p in predictions],
        "embedding": [None if p.embedding is None else p.embedding.tolist() for p in predictions],
    })
print(json.dumps(answers))
"""
PLAIN = """
import importlib, json, sys
import numpy as np
interpreter = importlib.import_module(sys.argv[1]).Interpreter(model_path=sys.argv[2])
interpreter.allocate_tensors()
pixels = np.full((1, 16, 16, 3), (230, 20, 20), np.uint8)
runner = interpreter.get_signature_runner()
print(json.dumps({name: values.tolist() for name, values in runner(picture=pixels).items()}))
"""


@pytest.fixture(scope="session")
def pythons(repository: Path) -> dict[str, str]:
    """The interpreter of each runtime's environment."""
    other = repository / ".venv-tflite" / "bin" / "python"
    if not other.exists():
        pytest.skip("no .venv-tflite: install requirements/device-tflite-runtime.txt into one of Python 3.11")
    return {LITERT: sys.executable, TFLITE: str(other)}


def run(repository: Path, python: str, script: str, *arguments: str) -> Any:
    done = subprocess.run(
        [python, "-c", script, *arguments], cwd=repository, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # the C++ library's greeting would fill a journal
    return json.loads(done.stdout)


def answers(
    repository: Path, python: str, models: Sequence[tuple[Path, Path | None]], pictures: Sequence[Path]
) -> list[Any]:
    files = [[str(file), str(labels) if labels else None] for file, labels in models]
    found = run(repository, python, ANSWER, json.dumps(files), json.dumps([str(path) for path in pictures]))
    assert isinstance(found, list)
    return found


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{color}.png" for color in COLORS]
    for path, color in zip(paths, COLORS, strict=True):
        cv2.imwrite(str(path), plain(color))
    return paths


def test_every_kind_of_model_file_answers_and_proves_itself_on_both(
    repository: Path, pythons: dict[str, str], pictures: list[Path], tmp_path: Path
) -> None:
    made = {
        "classify": tiny_model(),
        "gray": tiny_model(color="gray", labels=("bright", "dark")),
        "binary": tiny_model(kind="binary", labels=("other", "red")),
        "multilabel": tiny_model(kind="multilabel"),
        "embed": tiny_model(kind="embed"),
        "both": tiny_model(outputs=("scores", "embedding")),
        "swapped": tiny_model(outputs=("embedding", "scores"), color="bgr", resize="letterbox"),
    }
    files = [(model.write(tmp_path / f"{name}.tflite"), None) for name, model in made.items()]
    found = {runtime: answers(repository, python, files, pictures) for runtime, python in pythons.items()}
    for name, litert, tflite in zip(made, found[LITERT], found[TFLITE], strict=True):
        assert (litert["runtime"], tflite["runtime"]) == (LITERT, TFLITE)
        assert tflite["off_by"] <= 0.01, name
        assert litert["embedding"] == tflite["embedding"], name
        np.testing.assert_allclose(litert["scores"], tflite["scores"], atol=0.01, err_msg=name)


def test_a_damaged_file_is_refused_before_either_interpreter_sees_it(
    repository: Path, pythons: dict[str, str], tmp_path: Path
) -> None:
    content = tiny_model().write(tmp_path / "whole.tflite").read_bytes()
    damaged = [content[:size] for size in range(0, len(content), 97)]
    damaged += [content[:2000] + bytes(1000) + content[3000:], content[:1500] + content[1600:]]
    files = [(tmp_path / f"{number}.tflite", None) for number in range(len(damaged))]
    for (path, _), some in zip(files, damaged, strict=True):
        path.write_bytes(some)
    for python in pythons.values():
        for message in answers(repository, python, files, []):
            assert isinstance(message, str)
            assert "not a TFLite model" in message or "cut off" in message or "damaged" in message


@pytest.mark.parametrize(("runtime", "module"), [(LITERT, "ai_edge_litert"), (TFLITE, "tflite_runtime")])
def test_a_model_file_runs_in_a_plain_interpreter(
    repository: Path, pythons: dict[str, str], tmp_path: Path, runtime: str, module: str
) -> None:
    """Other programs see an ordinary TFLite file; nothing of ours is needed to run it."""
    path = tiny_model().write(tmp_path / "m.tflite")
    done = subprocess.run(
        [pythons[runtime], "-c", PLAIN, f"{module}.interpreter", str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    scores = json.loads(done.stdout)["scores"][0]
    assert scores == pytest.approx(Model.load(path).predict(plain("red")).scores.tolist(), abs=0.01)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("file", "labels"),
    [
        ("tf2_mobilenet_v2_1.0_224_ptq.tflite", "imagenet_labels.txt"),
        ("mobilenet_v1_0.25_128_quant.tflite", "imagenet_labels.txt"),
        ("mobilenet_v2_1.0_224_inat_bird_quant.tflite", "inat_bird_labels.txt"),
    ],
)
def test_real_models_say_the_same_on_both(
    repository: Path, pythons: dict[str, str], data_dir: Path, file: str, labels: str
) -> None:
    models = [(data_dir / "models" / file, data_dir / "models" / labels)]
    photographs = sorted((data_dir / "pictures").glob("*.jpg"))
    (litert,) = answers(repository, pythons[LITERT], models, photographs)
    (tflite,) = answers(repository, pythons[TFLITE], models, photographs)
    ours, theirs = np.array(litert["scores"]), np.array(tflite["scores"])
    assert np.max(np.abs(ours - theirs)) < 0.12  # 0.05 to 0.09 were seen
    best = np.sort(ours, axis=1)
    is_clear = best[:, -1] - best[:, -2] > 0.1
    assert is_clear.sum() >= 5
    assert np.array_equal(np.argmax(ours, axis=1)[is_clear], np.argmax(theirs, axis=1)[is_clear])


@pytest.mark.real_data
def test_both_environments_see_the_same_pixels(repository: Path, pythons: dict[str, str], data_dir: Path) -> None:
    """Their OpenCV differs by a major version; decoding and resizing must not."""
    script = """
import hashlib, json, sys
from pathlib import Path
from edge.model_card import InputSpec
from edge.preprocess import prepare, read_picture
spec = InputSpec(height_px=224, width_px=224)
print(json.dumps([hashlib.sha256(prepare(read_picture(Path(p)), spec).tobytes()).hexdigest() for p in sys.argv[1:]]))
"""
    photographs = [str(path) for path in sorted((data_dir / "pictures").glob("*.jpg"))]
    seen = [run(repository, python, script, *photographs) for python in pythons.values()]
    assert len(seen[0]) == len(photographs)
    assert seen[0] == seen[1]


def test_loading_a_model_writes_nothing_to_the_journal(repository: Path, tmp_path: Path) -> None:
    path = tiny_model().write(tmp_path / "m.tflite")
    (tmp_path / "red.png").write_bytes(cv2.imencode(".png", plain("red"))[1].tobytes())
    (answer,) = answers(repository, sys.executable, [(path, None)], [tmp_path / "red.png"])
    assert answer["scores"][0] == pytest.approx(
        Model.load(path).predict(read_picture(tmp_path / "red.png")).scores.tolist()
    )
