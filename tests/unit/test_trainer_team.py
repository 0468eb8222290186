"""What a team of processes shares: batches, features, and what becomes of it when one of them dies."""

from __future__ import annotations

import importlib.util
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import ConfigError, UsageError
from trainer import cluster
from trainer.cluster import train_in_cluster
from trainer.data import DataSet, Sample
from trainer.errors import ClusterError
from trainer.features import embeddings, stream_to_file
from trainer.parameters import with_parameters
from trainer.place import Place, parse_place
from trainer.progress import Steps
from trainer.recipe import Recipe
from trainer.split import Split
from trainer.team import ALONE, Team
from trainer.training_batches import TrainingBatches, batch_size

needs_jax = pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed (extra: cluster)")


def view(row: int, seed: Any) -> npt.NDArray[np.uint8]:
    return np.random.default_rng((*seed, row)).integers(0, 256, (2, 2, 3), np.uint8)


def epoch(team: Team, balance: str) -> list[list[npt.NDArray[Any]]]:
    batches = TrainingBatches(
        view=view,
        wanted=np.eye(3, dtype=np.float32)[np.arange(22) % 3],
        weights=np.linspace(0.5, 1.5, 22, dtype=np.float32),
        balance=balance,
        mixup=0.4,
        size=6,
        seed=1,
        team=team,
    )
    return [list(batch) for batch in batches.epoch(4)]


@pytest.mark.parametrize("balance", ["weights", "sampling", "none"])
@pytest.mark.parametrize("count", [2, 3])
def test_the_parts_of_a_team_are_the_batches_of_one_process(count: int, balance: str) -> None:
    parts = [epoch(Team(rank, count, count), balance) for rank in range(count)]
    together = [[np.concatenate(arrays) for arrays in zip(*shares, strict=True)] for shares in zip(*parts, strict=True)]
    for whole, joined in zip(epoch(ALONE, balance), together, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(whole, joined, strict=True))


def test_a_batch_that_cannot_be_shared_evenly_is_refused_with_a_size_that_can() -> None:
    assert batch_size(32, 1000, Team(0, 2, 4)) == 32
    assert batch_size(32, 11, Team(0, 2, 4)) == 8
    with pytest.raises(ConfigError, match=r"finetune.batch_size=33"):
        batch_size(32, 1000, Team(0, 3, 3))


class Threads(Team):
    """A team of threads: what each gives is exchanged under a barrier."""

    __slots__ = ()
    given: dict[int, npt.NDArray[Any]] = {}  # noqa: RUF012  what threads share
    barrier = threading.Barrier(2)

    def gather(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        self.given[self.rank] = rows
        self.barrier.wait(30)
        found = np.concatenate([self.given[rank] for rank in range(self.count)])
        self.barrier.wait(30)
        return found


class Sums:
    """A network whose only feature is a picture's sum; counts the pictures that it sees."""

    def __init__(self) -> None:
        self.seen = 0

    def embed(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        self.seen += len(pictures)
        return pictures.sum(axis=(1, 2, 3), dtype=np.float32)[:, np.newaxis]


def test_a_team_shares_the_work_on_features_and_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    rows = list(range(300))
    networks = [Sums(), Sums()]
    results: dict[int, npt.NDArray[np.float32]] = {}

    def work(rank: int) -> None:
        team, network, folder = Threads(rank, 2, 2), networks[rank], tmp_path / str(rank)

        def run(start: int) -> Any:
            return embeddings(network, lambda row: view(row, (1,)), rows[start:], team)  # type: ignore[arg-type]  # no Keras here

        results[rank] = stream_to_file(folder, "key", (len(rows), 1), run, team)

    def both() -> None:
        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    both()
    expected = np.array([[view(row, (1,)).sum()] for row in rows], np.float32)
    assert np.array_equal(results[0], expected)
    assert np.array_equal(results[1], expected)
    assert networks[0].seen == networks[1].seen <= len(rows) / 2 + 32
    (tmp_path / "1" / "features-key.npy").unlink()  # that machine has lost its disk
    both()
    assert np.array_equal(results[1], expected)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("none", Place("none")),
        ("mirrored", Place("mirrored")),
        ("10.0.0.5:9876,1,2", Place(address="10.0.0.5:9876", rank=1, count=2)),
        ("[::1]:9876,0,3", Place(address="[::1]:9876", rank=0, count=3)),
    ],
)
def test_a_place_is_what_a_person_writes(text: str, place: Place) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["", "all", "host,0,2", "host:99999,0,2", "host:1,2,2", "host:1,0"])
def test_another_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--distribute"):
        parse_place(text)


def train_with(worker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a script of its own take the worker's place."""
    monkeypatch.setattr(cluster, "_WORKER", "impostor")
    (tmp_path / "impostor.py").write_text(worker)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    data = DataSet(tmp_path, ("a", "b"), tuple(Sample(Path(f"{n}.png"), (n % 2,)) for n in range(4)), (), "00")
    place = Place(address="127.0.0.1:1", rank=1, count=2)
    train_in_cluster(place, data, Split((0, 1), (2,), (3,)), Recipe(), steps=Steps(), workdir=tmp_path / "work")


@needs_jax
def test_a_worker_that_is_killed_is_an_error_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClusterError, match=r"process 1 of 2, meeting at 127\.0\.0\.1:1: was ended by SIGKILL; another"):
        train_with(f"import os; os.kill(os.getpid(), {signal.SIGKILL.value})", tmp_path, monkeypatch)


@needs_jax
def test_what_a_worker_says_is_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says = """
import json, os, sys
fd = json.load(open(sys.argv[1]))["report_to"]
os.write(fd, b'{"begins": "features", "total": 2}\\n{"advanced": true}\\n{"problem": "no disk"}\\n')
sys.exit(69)
"""
    with pytest.raises(ClusterError, match=r"process 1 of 2.*: no disk"):
        train_with(says, tmp_path, monkeypatch)


@needs_jax
def test_a_worker_s_pipe_does_not_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ClusterError):
        train_with("import os; os.abort()", tmp_path, monkeypatch)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@needs_jax
def test_a_batch_must_be_a_multiple_of_the_processes(tmp_path: Path) -> None:
    recipe = with_parameters(Recipe(), {"finetune.batch_size": 33})
    data = DataSet(tmp_path, ("a", "b"), (), (), "00")
    place = Place(address="127.0.0.1:1", rank=0, count=2)
    with pytest.raises(ConfigError, match="cannot be shared evenly by 2 processes"):
        train_in_cluster(place, data, Split((), (), ()), recipe, steps=Steps(), workdir=tmp_path)
