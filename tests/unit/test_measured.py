"""Which threads suit a model here: what is tried, what is chosen, and what the daemon makes of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from models import tiny_model

from edge.config import ModelConfig
from edge.lineup import load_model
from edge.measured import FILE, Measurement, Setting, choose, keep, kept, measure, settings
from edge.model import Model


def measured(threads: int, workers: int, rate_hz: float, latency_ms: float) -> Measurement:
    return Measurement(Setting(threads=threads, workers=workers), rate_hz, latency_ms)


@pytest.mark.parametrize(
    ("cores", "tried"),
    [
        (1, [(1, 1)]),
        (2, [(1, 1), (1, 2), (2, 1)]),
        (4, [(1, 1), (1, 2), (2, 1), (1, 4), (2, 2), (4, 1)]),
        (6, [(1, 1), (1, 2), (2, 1), (1, 4), (2, 2), (4, 1), (1, 6), (2, 3), (3, 2), (6, 1)]),
    ],
)
def test_every_way_to_spend_the_cores_is_tried(cores: int, tried: list[tuple[int, int]]) -> None:
    assert [(setting.threads, setting.workers) for setting in settings(cores)] == tried


def test_the_fastest_is_chosen() -> None:
    assert choose([measured(1, 1, 100, 10.0), measured(1, 2, 180, 11.0)]).setting == Setting(workers=2)


def test_of_those_that_are_as_fast_the_one_that_answers_soonest_is_chosen() -> None:
    found = [measured(1, 1, 100, 10.0), measured(1, 2, 200, 10.5), measured(2, 1, 192, 5.2)]
    assert choose(found).setting == Setting(threads=2)


def test_measuring_runs_all_interpreters_of_a_model(tmp_path: Path) -> None:
    model = Model.load(tiny_model().write(tmp_path / "colors.tflite"), workers=2)
    found = measure(model, Setting(workers=2), duration_s=0.05, clock=time.perf_counter)
    assert found.rate_hz > 0
    assert found.latency_ms > 0


def test_what_was_kept_is_found_again_on_the_same_machine_only(tmp_path: Path) -> None:
    keep(tmp_path, {"gate": Setting(threads=2)}, cores=4)
    keep(tmp_path, {"birds": Setting(workers=4)}, cores=4)
    assert kept(tmp_path, cores=4) == {"gate": Setting(threads=2), "birds": Setting(workers=4)}
    assert kept(tmp_path, cores=2) == {}


@pytest.mark.parametrize("content", [b"", b"{", b'{"cores": "four"}', b"\xff" * 100])
def test_a_file_beyond_use_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert kept(tmp_path) == {}


def test_what_was_measured_counts_where_the_configuration_says_nothing(tmp_path: Path) -> None:
    path = str(tiny_model().write(tmp_path / "colors.tflite"))
    assert len(load_model(ModelConfig(file=path), Setting(workers=3)).engines) == 3
    assert len(load_model(ModelConfig(file=path, workers=2), Setting(workers=3)).engines) == 2
    assert len(load_model(ModelConfig(file=path, threads=2), Setting(workers=3)).engines) == 1
    assert len(load_model(ModelConfig(file=path)).engines) == 1
