"""The class centres of a card's unknown rule: they fit the embedding, or the file is refused before it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from models import plain, tiny_model

from edge.errors import ModelFileError
from edge.model import Model
from edge.model_card import UnknownRule
from edge.model_file import parse_model_file, seal
from edge.runtime import EMBEDDING, SCORES
from edge.vectors import pack

if TYPE_CHECKING:
    from pathlib import Path


def with_centers(path: Path, *shape: int) -> Model:
    tiny = tiny_model(outputs=(SCORES, EMBEDDING), golden_frames=())
    centers = pack(np.ones(shape, np.float32), "list")
    rule = UnknownRule(method="centers", threshold=0.5, arrays={"centers": centers})
    card = msgspec.structs.replace(tiny.card, unknown=rule)
    return Model(parse_model_file(seal(tiny.flatbuffer, card, None), path))


def test_centers_of_the_embeddings_size_are_asked(tmp_path: Path) -> None:
    assert with_centers(tmp_path / "m.tflite", 3, 3).predict(plain("red")).known


@pytest.mark.parametrize("shape", [(9,), (3, 4), (0, 3), (3, 3, 1), (1, 3, 3), ()])
def test_centers_that_do_not_fit_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelFileError, match="do not fit its embedding"):
        with_centers(tmp_path / "m.tflite", *shape)
