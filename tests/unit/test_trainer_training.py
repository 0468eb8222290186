"""The parts of training that are plain arithmetic or files."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trainer.backbones import resolve_weights, weights_digest
from trainer.balance import order, sample_weights
from trainer.checkpoint import Checkpoint, EpochRecord, Progress
from trainer.features import Features, Labelled, stream_to_file
from trainer.finetune import sizes_px
from trainer.mix import draw_mix, mix
from trainer.parameters import with_parameters
from trainer.recipe import BackboneRecipe, Recipe
from trainer.scored import Scored
from trainer.views import ahead


def test_rare_classes_weigh_more_by_the_root_of_their_rarity() -> None:
    targets = np.eye(2, dtype=np.float32)[[0] * 16 + [1] * 4]
    weights = sample_weights(targets)
    assert weights.mean() == pytest.approx(1)
    assert weights[-1] / weights[0] == pytest.approx(2)


def test_a_picture_of_several_labels_counts_as_its_rarest() -> None:
    targets = np.array([[1, 0], [1, 0], [1, 0], [1, 1], [0, 0]], np.float32)
    weights = sample_weights(targets)
    assert weights[3] == weights.max()
    assert np.isfinite(weights).all()


def test_an_epoch_shows_every_sample_once_and_fills_its_last_batch() -> None:
    rows = order(np.ones(10, np.float32), sampled=False, rng=np.random.default_rng(0), batch_size=4)
    assert len(rows) == 12
    assert set(rows) == set(range(10))


def test_sampling_draws_rare_ones_more_often() -> None:
    weights = np.array([1.0] * 90 + [9.0] * 10, np.float32)
    rows = order(weights, sampled=True, rng=np.random.default_rng(0), batch_size=100)
    assert 35 <= (rows >= 90).sum() <= 65


def test_mixed_pictures_say_how_much_of_each_there_is() -> None:
    pictures = np.stack([np.zeros((2, 2, 3)), np.full((2, 2, 3), 200)]).astype(np.uint8)
    targets = np.eye(2, dtype=np.float32)
    share, _ = draw_mix(2, 0.4, np.random.default_rng(3))
    blended, wanted = mix(share, (pictures, targets), (pictures[::-1], targets[::-1]))
    assert blended.dtype == np.uint8
    assert 0 < share < 1
    assert wanted[0] == pytest.approx([share, 1 - share])
    assert blended[0].mean() == pytest.approx(200 * wanted[0, 1], abs=1)


def test_nothing_is_mixed_with_alpha_0() -> None:
    pictures, targets = np.zeros((2, 2, 2, 3), np.uint8), np.eye(2, dtype=np.float32)
    share, others = draw_mix(2, 0.0, np.random.default_rng(3))
    assert list(others) == [0, 1]
    assert mix(share, (pictures, targets), (pictures, targets))[0] is pictures


def test_the_loss_of_a_validation_does_not_mind_overconfidence() -> None:
    rng = np.random.default_rng(0)
    targets = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 200)]
    logits = (targets + rng.normal(0, 0.7, targets.shape)).astype(np.float32)
    empty = np.zeros((200, 0), np.float32)
    losses = [Scored("classify", logits * factor, empty, targets).loss for factor in (1.0, 3.0)]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_a_lead_that_chance_explains_is_none() -> None:
    rng = np.random.default_rng(0)
    targets = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 80)]
    empty = np.zeros((80, 0), np.float32)
    good, similar, bad = (
        Scored("classify", (targets * 3 + rng.normal(0, noise, targets.shape)).astype(np.float32), empty, targets)
        for noise in (1.0, 1.02, 3.0)
    )
    assert similar.is_no_worse_than(good) or good.is_no_worse_than(similar)
    assert good.is_no_worse_than(good)
    assert good.is_no_worse_than(bad)
    assert not bad.is_no_worse_than(good)


def test_a_binary_answer_is_about_the_second_label() -> None:
    targets = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    scored = Scored("binary", np.array([[-3.0], [2.0], [-1.0]], np.float32), np.zeros((3, 0), np.float32), targets)
    assert scored.accuracy == pytest.approx(2 / 3)


def test_fine_tuning_begins_with_small_pictures() -> None:
    recipe = with_parameters(Recipe(), {"finetune.epochs": 5})
    assert sizes_px(recipe) == [128, 128, 192, 192, 192]
    assert sizes_px(with_parameters(recipe, {"finetune.early_size": 0.86})) == [192] * 5
    assert sizes_px(with_parameters(recipe, {"backbone.size_px": 32})) == [32] * 5, "never less than a stride"
    assert sizes_px(with_parameters(recipe, {"backbone.size_px": 299})) == [299] * 5, "others would be padded otherwise"


def test_a_checkpoint_comes_back_whole_or_not_at_all(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "work" / "c.npz", "this training")
    assert checkpoint.load() is None
    progress = Progress((EpochRecord("finetune", 1, 0.5, 0.4, 0.9, 2.0),), 0)
    groups = {"model": [np.arange(3), np.array(7, np.int64)], "best": [np.ones((2, 2), np.float32)]}
    checkpoint.save(progress, groups)
    loaded = checkpoint.load()
    assert loaded is not None
    assert loaded[0] == progress
    assert all(np.array_equal(a, b) for name in groups for a, b in zip(groups[name], loaded[1][name], strict=True))
    assert Checkpoint(tmp_path / "work" / "c.npz", "another").load() is None
    content = (tmp_path / "work" / "c.npz").read_bytes()
    (tmp_path / "work" / "c.npz").write_bytes(content[: len(content) // 2])
    assert checkpoint.load() is None


def test_features_go_on_where_they_were_interrupted(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
    asked: list[int] = []

    def run(start: int, *, fail_at: int = 1000) -> Iterator[np.ndarray]:
        asked.append(start)
        for first in range(start, len(rows), 10):
            if first >= fail_at:
                raise KeyboardInterrupt
            yield rows[first : first + 10]

    with pytest.raises(KeyboardInterrupt):
        stream_to_file(tmp_path, "k", rows.shape, lambda start: run(start, fail_at=500))
    assert np.array_equal(stream_to_file(tmp_path, "k", rows.shape, run), rows)
    assert asked[0] == 0
    assert 300 <= asked[1] <= 500
    assert np.array_equal(stream_to_file(tmp_path, "k", rows.shape, run), rows)
    assert len(asked) == 2, "the third time nothing is computed"


@pytest.mark.parametrize("end", ["npy", "part"])
@pytest.mark.parametrize("left_bytes", [0, 200])
def test_features_that_a_failing_disk_cut_off_are_made_again(tmp_path: Path, end: str, left_bytes: int) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    stream_to_file(tmp_path, "k", rows.shape, lambda done: iter([rows[done:]]))
    (tmp_path / "features-k.npy").replace(tmp_path / f"features-k.{end}")
    os.truncate(tmp_path / f"features-k.{end}", left_bytes)
    (tmp_path / "features-k.rows").write_text("2")
    assert np.array_equal(stream_to_file(tmp_path, "k", rows.shape, lambda done: iter([rows[done:]])), rows)


def test_weights_that_took_the_place_of_others_are_other_ones(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    path.write_bytes(b"one")
    recipe = BackboneRecipe(weights=str(path))
    before = weights_digest(recipe)
    path.write_bytes(b"two")
    assert weights_digest(recipe) != before
    assert weights_digest(BackboneRecipe(weights="imagenet")) == "imagenet"


@pytest.mark.parametrize(
    ("name", "alpha", "found"),
    [
        ("mobilenet", 1.0, "mobilenet_1.0_224.weights.h5"),
        ("mobilenetv2", 1.0, "mobilenetv2_1.0_160.weights.h5"),
        ("mobilenetv2", 1.4, "mobilenetv2_1.4_224.weights.h5"),
        ("mobilenet", 0.25, "mobilenet_0.25.h5"),
        ("resnet50", None, "resnet50_notop.h5"),
        ("resnet50v2", None, "resnet50v2_notop.h5"),
    ],
)
def test_a_folder_of_weights_tells_a_backbone_from_its_next_version(
    tmp_path: Path, name: str, alpha: float | None, found: str
) -> None:
    for file in ("mobilenet_1.0_224.weights.h5", "mobilenetv2_1.0_160.weights.h5", "mobilenetv2_1.4_224.weights.h5"):
        (tmp_path / file).touch()
    for file in ("mobilenetv2_0.35_160.h5", "mobilenet_0.25.h5", "resnet50_notop.h5", "resnet50v2_notop.h5"):
        (tmp_path / file).touch()
    recipe = BackboneRecipe(name=name, alpha=alpha, weights=str(tmp_path))
    assert resolve_weights(recipe) == str(tmp_path / found)


def test_features_take_no_memory_while_nobody_asks_for_them(tmp_path: Path) -> None:
    def mapped_mb() -> float:
        return int(Path("/proc/self/statm").read_text().split()[2]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    shape = (4000, 4000)
    made = stream_to_file(tmp_path, "key", shape, lambda _done: (np.ones((500, 4000), np.float32) for _ in range(8)))
    targets = np.ones((len(made), 2), np.float32)
    features = Features(Labelled(made, targets), 0, np.arange(len(made)), np.ones(len(made), np.bool_))
    assert made.sum() == made.size
    asked = mapped_mb()
    features.let_go()
    assert mapped_mb() < asked - 60
    assert made.sum() == made.size


def test_a_disk_without_room_is_known_before_a_row_is_made(tmp_path: Path) -> None:
    """To write into a mapped file on a full disk would end the process without a word."""

    def run(_start: int) -> Iterator[np.ndarray]:
        pytest.fail("rows were made that have no place")

    with pytest.raises(OSError, match=r"4,000,000\.0 MB are needed for a while") as caught:
        stream_to_file(tmp_path, "k", (1_000_000, 1_000_000), run)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path)


def test_threads_work_ahead_in_order_and_only_a_little() -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return number * 2

    results = ahead(make, range(1000), threads=2)
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    assert len(made) < 20
    results.close()
