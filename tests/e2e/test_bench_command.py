"""``sightpost bench``, as a person runs it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from edge.measured import FILE

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_model_is_measured_and_nothing_is_kept(run: Run, model_path: Path) -> None:
    done = run("sightpost", "bench", "--model", model_path, "--seconds", "0.02", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["best"] in found["measured"]
    assert all(row["rate_hz"] > 0 for row in found["measured"])


def test_what_is_best_for_a_configuration_is_kept_beside_its_outbox(run: Run, model_path: Path, tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(
        '[device]\nid = "porch"\nstate_dir = "state"\n[cameras.yard]\nsource = "scene:gate"\n'
        f'[models.gate]\nfile = "{model_path}"\n[watches.gate]\ncamera = "yard"\nmodel = "gate"\n'
    )
    done = run("sightpost", "bench", "--config", config, "--seconds", "0.02")
    assert done.returncode == 0, done.stderr
    assert "best" in done.stdout
    assert "gate" in json.loads((tmp_path / "state" / FILE).read_text())["models"]


def test_time_must_be_a_number(run: Run, model_path: Path) -> None:
    done = run("sightpost", "bench", "--model", model_path, "--seconds", "soon")
    assert done.returncode == 64
    assert "'soon': give a number of seconds from 0.001 to 60" in done.stderr
