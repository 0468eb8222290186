"""What a converted model is judged by, and on which pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.model_card import Kind
from trainer.calibration_pictures import collect
from trainer.comparison import Comparison
from trainer.errors import DataError


def comparison(
    kind: Kind, floats: list[list[float]], int8: list[list[float]], truth: list[int] | None = None
) -> Comparison:
    labels = () if kind == "embed" else tuple("abc"[: len(floats[0])])
    known = None if truth is None else np.array(truth)
    return Comparison(kind, labels, np.array(floats), np.array(int8), known, latency_ms=1.0)


def pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((4, 4, 3), number, np.uint8))


def test_agreement_is_of_answers_and_not_of_scores() -> None:
    assert comparison("classify", [[0.9, 0.1], [0.4, 0.6]], [[0.6, 0.4], [0.6, 0.4]]).agreement == 0.5
    assert comparison("binary", [[0.9, 0.1], [0.4, 0.6]], [[0.6, 0.4], [0.3, 0.7]]).agreement == 1.0


def test_agreement_of_several_labels_counts_each_decision() -> None:
    assert comparison("multilabel", [[0.9, 0.1, 0.6, 0.2]], [[0.8, 0.6, 0.7, 0.1]]).agreement == 0.75


def test_agreement_of_features_is_their_cosine() -> None:
    found = comparison("embed", [[1.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [1.0, 1.0]])
    assert found.cosines() == pytest.approx([1, 0.5**0.5])
    assert found.agreement == pytest.approx((1 + 0.5**0.5) / 2)
    assert found.summary()["cosine_min"] == 0.7071


def test_the_float_form_is_compared_with_the_saved_models_own_answers() -> None:
    both = comparison("classify", [[0.9, 0.1], [0.4, 0.6]], [[0.9, 0.1], [0.4, 0.6]])
    assert both.difference_from(np.array([[0.9, 0.1]])) == pytest.approx(0)
    assert both.difference_from(np.array([[0.1, 0.9]])) == pytest.approx(0.8)
    one = comparison("binary", [[0.9, 0.1]], [[0.9, 0.1]])
    assert one.difference_from(np.array([[0.1]])) == pytest.approx(0)


def test_it_is_judged_only_where_the_truth_is_known() -> None:
    scores = [[0.9, 0.1], [0.4, 0.6]]
    assert comparison("classify", scores, scores).evaluations() is None
    judged = comparison("classify", scores, [[0.9, 0.1], [0.6, 0.4]], truth=[0, 1]).evaluations()
    assert judged is not None
    assert [evaluation.accuracy for evaluation in judged] == [1.0, 0.5]


def test_golden_samples_are_near_a_boundary_and_far_from_it_in_turns() -> None:
    scores = [[0.9, 0.1], [0.55, 0.45], [0.99, 0.01], [0.7, 0.3]]
    assert comparison("classify", scores, scores).sensitive(3) == [1, 2, 3]
    assert comparison("embed", scores, scores).sensitive(2) == [0, 3]


def test_folders_named_like_labels_are_the_truth_in_the_order_of_the_labels(tmp_path: Path) -> None:
    pictures(tmp_path / "cat", 5)
    pictures(tmp_path / "dog", 4)
    found = collect(tmp_path, ("dog", "bird", "cat"), limit=8)
    assert found.truth == (2, 0, 2, 0, 2, 0, 2, 0)
    assert len(found.paths) == 8


def test_other_folders_are_just_folders_and_bad_files_are_left_out(tmp_path: Path) -> None:
    pictures(tmp_path / "monday", 6)
    pictures(tmp_path, 4)
    pictures(tmp_path / ".thumbnails", 3)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    found = collect(tmp_path, ("dog", "cat"), limit=100)
    assert (len(found.paths), found.truth, len(found.rejected)) == (10, None, 1)


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path, 7)
    with pytest.raises(DataError, match="7 readable pictures; at least 8"):
        collect(tmp_path, (), limit=100)
    with pytest.raises(DataError, match="is not a folder"):
        collect(tmp_path / "nowhere", (), limit=100)
