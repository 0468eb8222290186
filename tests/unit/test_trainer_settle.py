"""What validation pictures decide, for each kind of model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainer.data import DataSet, Sample
from trainer.deciding import CENTER_PICTURES, some_learnt
from trainer.recipe import UnknownRecipe
from trainer.settle import Settled, settle
from trainer.split import Split

LABELS = ("a", "b", "c")
RNG = np.random.default_rng(0)
TRUTH = np.arange(90) % 3
TARGETS = np.eye(3, dtype=np.float32)[TRUTH]
EMBEDDINGS = (np.eye(3, 8)[TRUTH] * 3 + RNG.normal(0, 0.4, (90, 8))).astype(np.float32)
LOGITS = (TARGETS * 6 + RNG.normal(0, 4, (90, 3))).astype(np.float32)


def settled(kind: str, logits: np.ndarray = LOGITS, targets: np.ndarray = TARGETS, **recipe: object) -> Settled:
    return settle(
        kind,  # type: ignore[arg-type]
        LABELS[-targets.shape[1] :],
        logits=logits,
        embeddings=EMBEDDINGS,
        targets=targets,
        training=(EMBEDDINGS, TRUTH),
        recipe=UnknownRecipe(**recipe),  # type: ignore[arg-type]
    )


def test_classify_gets_a_temperature_and_an_unknown_rule() -> None:
    found = settled("classify")
    calibration = found.metrics["calibration"]
    assert found.temperature > 1.2
    assert calibration["expected_calibration_error_after"] < calibration["expected_calibration_error_before"]
    assert found.unknown is not None
    assert found.unknown.method == "centers"
    assert found.unknown.rejected <= 0.05
    assert set(found.metrics["unknown"]["area_under_roc"]) == {"max_score", "energy", "centers"}
    assert found.thresholds == {}


def test_the_recipe_can_choose_or_refuse_the_rule() -> None:
    chosen = settled("classify", method="max_score").unknown
    assert chosen is not None
    assert (chosen.method, chosen.arrays) == ("max_score", {})
    assert settled("classify", method="none").unknown is None


def test_binary_gets_one_threshold() -> None:
    found = settled("binary", LOGITS[:, :1] + 2, TARGETS[:, [1, 0]])
    assert list(found.thresholds) == ["c"]
    assert 0.05 <= found.thresholds["c"] <= 0.95
    assert found.unknown is None


def test_multilabel_gets_one_threshold_per_label() -> None:
    assert set(settled("multilabel").thresholds) == set(LABELS)


@pytest.mark.parametrize("kind", ["embed"])
def test_nothing_is_to_be_settled_for_vectors(kind: str) -> None:
    assert settled(kind) == Settled()


def test_class_centers_are_made_of_all_that_was_learnt_or_of_some_thousands_with_every_rare_one() -> None:
    labels = [(0 if index % 400 else 1,) for index in range(40_000)]
    data = DataSet(Path(), ("usual", "rare"), tuple(Sample(Path(), label) for label in labels), (), "")
    few, many = Split(tuple(range(900)), (), ()), Split(tuple(range(40_000)), (), ())
    assert list(some_learnt(data, few)) == list(range(900))
    some = some_learnt(data, many)
    assert len(some) == len(set(some)) == CENTER_PICTURES
    assert sum(index % 400 == 0 for index in some) == 100
