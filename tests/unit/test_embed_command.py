"""``sightpost embed``: vectors of pictures, as text, JSON and a NumPy file."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from models import plain, tiny_model

from edge.cli import main
from edge.config import WatchConfig
from edge.errors import ConfigError
from edge.model import Model
from edge.watch.watch import Watch


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), plain("red"))
    return path


@pytest.fixture
def embedder(tmp_path: Path) -> Path:
    return tiny_model(kind="embed").write(tmp_path / "embed.tflite")


def test_json_holds_the_whole_vector(red: Path, embedder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", str(red), "--model", str(embedder), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["picture"], answer["shape"]) == (str(red), [3])
    assert answer["embedding"] == pytest.approx([230, 20, 20], abs=1)


def test_l2_brings_it_to_length_one(red: Path, embedder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", str(red), "--model", str(embedder), "--json", "--l2"]) == 0
    assert np.linalg.norm(json.loads(capsys.readouterr().out)["embedding"]) == pytest.approx(1, abs=1e-4)


def test_out_holds_all_readable_pictures_and_the_exit_code_tells_of_the_others(
    red: Path, embedder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "vectors.npy"
    code = main(["embed", str(red), str(tmp_path / "gone.png"), str(red), "--model", str(embedder), "--out", str(out)])
    assert code != 0
    assert "gone.png" in capsys.readouterr().err
    vectors = np.load(out, allow_pickle=False)
    assert vectors.shape == (2, 3)
    assert vectors.dtype == np.float32


def test_a_model_without_vectors_is_named(red: Path, model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", str(red), "--model", str(model_path)]) != 0
    assert "no feature vectors" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_named(
    red: Path, embedder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embed", str(red), "--model", str(embedder), "--out", str(tmp_path / "no" / "v.npy")]) != 0
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["auto", "embedding"])
def test_a_watch_of_an_embed_model_embeds(embedder: Path, output: str) -> None:
    config = WatchConfig(camera="yard", model="vectors", output=output)  # type: ignore[arg-type]
    assert Watch("yard", config, Model.load(embedder)).embeds


def test_a_watch_that_cannot_have_what_it_asks_for_says_so(embedder: Path, model_path: Path) -> None:
    with pytest.raises(ConfigError, match="names no class"):
        Watch("yard", WatchConfig(camera="yard", model="vectors", output="answer"), Model.load(embedder))
    with pytest.raises(ConfigError, match="no feature vectors"):
        Watch("yard", WatchConfig(camera="yard", model="colors", output="embedding"), Model.load(model_path))
