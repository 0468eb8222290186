"""Groups stay whole, every class is learnt from and judged where that is possible, and the sizes come near."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data import DataSet, Sample
from trainer.recipe import SplitRecipe
from trainer.sources import PARTS, Part
from trainer.split import Split, split

FRACTIONS = st.sampled_from([0.0, 0.05, 0.15, 0.2, 0.33, 0.45])
GROUP_SIZES = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=14), min_size=2, max_size=5)
"""Per class, the sizes of its groups."""


def data_of(samples: list[Sample], classes: int, *, multilabel: bool = False) -> DataSet:
    return DataSet(Path("set"), tuple("abcdefgh"[:classes]), tuple(samples), (), "", multilabel)


def grouped(sizes: list[list[int]]) -> DataSet:
    samples = []
    for label, groups in enumerate(sizes):
        for number, size in enumerate(groups):
            group = -1 if size == 1 and number % 2 else 100 * label + number
            samples += [Sample(Path(f"{label}-{number}-{i}.png"), (label,), group) for i in range(size)]
    return data_of(samples, len(sizes))


def parts_of(parts: Split) -> dict[int, Part]:
    return {index: name for name in PARTS for index in getattr(parts, name)}


def draw(data: DataSet, validation: float = 0.15, test: float = 0.15, seed: int = 1) -> Split:
    return split(data, SplitRecipe(validation=validation, test=test), np.random.default_rng(seed))


@given(GROUP_SIZES, FRACTIONS, FRACTIONS, st.integers(0, 9))
def test_every_sample_is_in_one_part_and_no_group_straddles(
    sizes: list[list[int]], validation: float, test: float, seed: int
) -> None:
    data = grouped(sizes)
    parts = draw(data, validation, test, seed)
    assert sorted(parts.train + parts.validation + parts.test) == list(range(len(data.samples)))
    where = parts_of(parts)
    homes: dict[int, set[Part]] = {}
    for index, sample in enumerate(data.samples):
        if sample.group >= 0:
            homes.setdefault(sample.group, set()).add(where[index])
    assert all(len(home) == 1 for home in homes.values())


@given(GROUP_SIZES, FRACTIONS, FRACTIONS, st.integers(0, 9))
def test_every_class_is_learnt_from_and_judged_where_it_has_groups_enough(
    sizes: list[list[int]], validation: float, test: float, seed: int
) -> None:
    data = grouped(sizes)
    parts = draw(data, validation, test, seed)
    for label, groups in enumerate(sizes):
        counts = {name: sum(data.samples[i].label == label for i in getattr(parts, name)) for name in PARTS}
        asked_for = 1 + (validation > 0) + (test > 0)
        assert counts["train"]
        assert sum(count > 0 for count in counts.values()) == min(asked_for, len(groups))
        if test and len(groups) == 2:
            assert counts["test"]


@given(GROUP_SIZES, FRACTIONS, FRACTIONS, st.integers(0, 9))
def test_sizes_come_within_two_groups_of_the_fractions(
    sizes: list[list[int]], validation: float, test: float, seed: int
) -> None:
    data = grouped(sizes)
    parts = draw(data, validation, test, seed)
    for label, groups in enumerate(sizes):
        for name, fraction in (("validation", validation), ("test", test)):
            count = sum(data.samples[i].label == label for i in getattr(parts, name))
            assert abs(count - fraction * sum(groups)) <= 2 * max(groups)


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 3), max_size=3), st.integers(-1, 20)), min_size=4, max_size=60),
    st.integers(0, 9),
)
def test_several_labels_are_learnt_from_too_and_groups_stay_whole(drawn: list[tuple[set[int], int]], seed: int) -> None:
    samples = [Sample(Path(f"{i}"), tuple(sorted(labels)), group) for i, (labels, group) in enumerate(drawn)]
    data = data_of(samples, 4, multilabel=True)
    parts = draw(data, seed=seed)
    where = parts_of(parts)
    assert len(where) == len(samples)
    assert (data.targets(parts.train).sum(axis=0) > 0).tolist() == (
        data.targets(range(len(samples))).sum(axis=0) > 0
    ).tolist()
    for group in {sample.group for sample in samples} - {-1}:
        assert len({where[i] for i, sample in enumerate(samples) if sample.group == group}) == 1


@given(GROUP_SIZES, st.integers(0, 99))
def test_the_same_seed_gives_the_same_parts(sizes: list[list[int]], seed: int) -> None:
    assert draw(grouped(sizes), seed=seed) == draw(grouped(sizes), seed=seed)


def test_another_seed_gives_other_parts() -> None:
    data = grouped([[1] * 40, [1] * 40])
    assert len({draw(data, seed=seed) for seed in range(5)}) == 5


def test_many_pictures_are_split_exactly_in_proportion() -> None:
    parts = draw(grouped([[1] * 200, [1] * 40]))
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (168, 36, 36)


@given(st.lists(st.sampled_from(["train", "validation", "test", None]), min_size=8, max_size=40), st.integers(0, 9))
def test_the_parts_of_the_owner_are_respected(owner: list[Part | None], seed: int) -> None:
    samples = [Sample(Path(f"{i}"), (i % 2,), i // 4, part) for i, part in enumerate(owner)]
    where = parts_of(draw(data_of(samples, 2), seed=seed))
    for index, part in enumerate(owner):
        if part in {"validation", "test"}:
            assert where[index] == part
        if part == "train":
            assert where[index] == "train" or where[index] not in owner  # drawn from what the owner left to learn from
        if part is None:
            made = {sample.part for sample in samples if sample.group == samples[index].group} - {None}
            assert where[index] != "train" or not made & {"validation", "test"}


def test_a_missing_part_is_drawn_from_the_training_pictures() -> None:
    samples = [Sample(Path(f"{i}"), (i % 2,), part="test" if i >= 80 else "train") for i in range(100)]
    parts = draw(data_of(samples, 2))
    assert parts.test == tuple(range(80, 100))
    assert len(parts.validation) == 12
    assert set(parts.validation) < set(range(80))


@pytest.mark.parametrize(("groups", "expected"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1))])
def test_a_tiny_class_is_learnt_from_first_then_judged(groups: int, expected: tuple[int, int, int]) -> None:
    data = grouped([[1] * groups, [1] * 30])
    parts = draw(data)
    assert tuple(sum(data.samples[i].label == 0 for i in getattr(parts, name)) for name in PARTS) == expected
