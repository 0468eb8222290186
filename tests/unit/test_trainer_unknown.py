"""The unknown rule is chosen by measurement, and its operating point keeps to what was asked."""

from __future__ import annotations

import numpy as np
import pytest

from edge.answer import Known
from trainer.unknown import Validated, area_under_roc, choose, class_centers, make_rule, measure

CLASSES, FEATURES = 4, 16


def clusters(count: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings around one direction per class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    centers = np.eye(CLASSES, FEATURES) * 4 + 1
    return (centers[labels] + rng.normal(0, spread, (count, FEATURES))).astype(np.float32), labels


def test_area_under_roc_by_hand() -> None:
    assert area_under_roc(np.array([2.0, 3.0]), np.array([1.0])) == 1.0
    assert area_under_roc(np.array([1.0]), np.array([2.0, 3.0])) == 0.0
    assert area_under_roc(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.5


def test_centers_are_directions_of_their_classes() -> None:
    embeddings, labels = clusters(80, 0.3, seed=0)
    centers = class_centers(embeddings, labels, CLASSES)
    assert centers.shape == (CLASSES, 2, FEATURES), "20 pictures of each class are enough for two centres"
    np.testing.assert_allclose(np.linalg.norm(centers, axis=2), 1, rtol=1e-5)
    assert (np.argmax(embeddings @ centers.reshape(-1, FEATURES).T, axis=1) // 2 == labels).all()


def test_a_class_of_several_kinds_has_a_center_for_each() -> None:
    """Between two kinds of picture lies nothing that the class means: one centre would lie just there."""
    rng = np.random.default_rng(0)
    kinds = np.eye(3, FEATURES)[[0, 1, 2]]
    of_two_kinds = np.concatenate([kinds[0] + rng.normal(0, 0.05, (20, FEATURES)),
                                   kinds[1] + rng.normal(0, 0.05, (20, FEATURES))])  # fmt: skip
    embeddings = np.concatenate([of_two_kinds, kinds[2] + rng.normal(0, 0.05, (40, FEATURES))]).astype(np.float32)
    labels = np.repeat([0, 1], 40)
    rule = make_rule("centers", embeddings, embeddings, class_centers(embeddings, labels, 2), rejected=0.0)
    known = Known.of(rule)
    between = (kinds[0] + kinds[1]).astype(np.float32)
    assert known.knows(embeddings[0], embeddings[0])
    assert known.knows(embeddings[0], embeddings[39])
    assert not known.knows(embeddings[0], between)


def test_few_pictures_of_a_class_have_one_center() -> None:
    embeddings, labels = clusters(40, 0.3, seed=0)
    assert class_centers(embeddings, labels, CLASSES).shape == (CLASSES, 1, FEATURES)


def test_a_class_that_was_taken_away_is_told_by_its_distance() -> None:
    training, training_labels = clusters(80, 0.3, seed=0)
    embeddings, labels = clusters(60, 0.3, seed=1)
    # Logits that are sure of something whatever they are shown: the score cannot tell.
    logits = np.random.default_rng(2).normal(0, 5, (60, CLASSES)).astype(np.float32)
    areas = measure(Validated(logits, embeddings, labels), class_centers(training, training_labels, CLASSES))
    assert set(areas) == {"max_score", "energy", "centers"}
    assert areas["centers"] > 0.99
    assert areas["max_score"] == pytest.approx(0.5, abs=0.15)
    assert choose(areas) == "centers"


def test_the_score_is_taken_where_it_is_clearly_better() -> None:
    assert choose({"max_score": 0.9, "energy": 0.95, "centers": 0.7}) == "max_score"
    assert choose({"max_score": 0.74, "energy": 0.7, "centers": 0.7}) == "centers"
    assert choose({}) == "centers"


def test_two_classes_are_too_few_to_measure() -> None:
    embeddings, labels = clusters(40, 0.3, seed=0)
    two = labels < 2
    validated = Validated(np.zeros((20, 2), np.float32), embeddings[two], labels[two])
    assert measure(validated, class_centers(embeddings[two], labels[two], 2)) == {}


@pytest.mark.parametrize("method", ["centers", "max_score"])
@pytest.mark.parametrize("rejected", [0.0, 0.05, 0.2])
def test_the_operating_point_rejects_no_more_known_pictures_than_asked(method: str, rejected: float) -> None:
    embeddings, labels = clusters(100, 1.0, seed=3)
    scores = np.random.default_rng(4).dirichlet(np.ones(CLASSES), 100).astype(np.float32)
    rule = make_rule(method, scores, embeddings, class_centers(embeddings, labels, CLASSES), rejected=rejected)
    known = Known.of(rule)
    share = np.mean([not known.knows(score, vector) for score, vector in zip(scores, embeddings, strict=True)])
    assert rejected - 0.011 <= share <= rejected
    assert rule.rejected == pytest.approx(share)


def test_pictures_of_another_world_are_found() -> None:
    embeddings, labels = clusters(100, 0.5, seed=5)
    rule = make_rule("centers", embeddings, embeddings, class_centers(embeddings, labels, CLASSES))
    known = Known.of(rule)
    strangers = np.random.default_rng(6).normal(0, 2, (50, FEATURES)).astype(np.float32)
    assert np.mean([known.knows(np.ones(1, np.float32), vector) for vector in strangers]) < 0.1
