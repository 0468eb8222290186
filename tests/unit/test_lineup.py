"""Models, cameras and watches of a configuration: what is made anew when it is read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from models import foreign_model

from edge.config import load_config
from edge.config.difference import difference
from edge.lineup import Lineup


@pytest.fixture
def lineup(tmp_path: Path) -> Lineup:
    foreign_model(tmp_path / "colors.tflite")
    config = tmp_path / "edge.toml"
    config.write_text(
        '[device]\nid = "d"\nstate_dir = "state"\n[cameras.yard]\nsource = "scene:gate"\n'
        '[models.colors]\nfile = "colors.tflite"\nlabels = "colors.txt"\n'
        '[watches.gate]\ncamera = "yard"\nmodel = "colors"\n'
    )
    loaded = load_config(config)
    return Lineup.of(loaded, Lineup.of_cameras(loaded))


def test_a_file_of_labels_that_was_corrected_is_read_anew(lineup: Lineup, tmp_path: Path) -> None:
    assert lineup.replaced() == set()
    (tmp_path / "colors.txt").write_text("amber\ngreen\nblue\n")
    changed = difference(lineup.config, lineup.config, replaced=lineup.replaced())
    again = Lineup.of(lineup.config, lineup, changed)
    assert (again.models["colors"].labels, changed.words) == (("amber", "green", "blue"), "models.colors, watches.gate")
    assert again.watches["gate"].labels == ("amber", "green", "blue")
    assert again.cameras == lineup.cameras
