"""What fit writes into the card for a device to compare its own pictures with."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from edge.model_card import InputSpec, ModelCard, UnknownRule
from edge.vectors import pack, unpack
from trainer.deciding import _reference
from trainer.reference import reference_of_vectors

COUNT = 80


def seen(columns: int) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    return SimpleNamespace(
        logits=rng.normal(0, 2, (COUNT, columns)).astype(np.float32),
        embeddings=rng.uniform(0, 1, (COUNT, 8)).astype(np.float32),
    )


@pytest.mark.parametrize(
    ("kind", "columns", "validation", "measured"),
    [
        ("classify", 2, COUNT, {"score", "likeness"}),
        ("classify", 2, 8, {"score"}),
        ("binary", 1, COUNT, {"score", "likeness"}),
        ("multilabel", 3, COUNT, {"score"}),
    ],
)
def test_each_kind_is_measured_by_what_it_has(kind: str, columns: int, validation: int, measured: set[str]) -> None:
    rule = UnknownRule(method="centers", threshold=0.1, arrays={"centers": pack(np.eye(2, 8), "int8")})
    card = ModelCard(
        name="m",
        version="1",
        kind=kind,  # type: ignore[arg-type]
        input=InputSpec(),
        labels=("no", "yes", "both")[: max(columns, 2)],
        unknown=None if kind == "multilabel" else rule,
    )
    trained, parts = SimpleNamespace(validation=seen(columns)), SimpleNamespace(validation=range(validation))
    found = _reference(card, trained, parts)  # type: ignore[arg-type]
    assert found is not None
    assert set(found.bins) == measured
    everything = found.bins["score"][""]
    assert everything.count == COUNT
    assert sum(everything.shares) == pytest.approx(1, abs=1e-3)
    assert 0.5 <= min(everything.edges) <= max(everything.edges) < 0.99
    assert kind != "multilabel" or set(found.bins["score"]) == {""}, "answers are several at once"


def test_vectors_are_compared_with_the_mean_of_all_others() -> None:
    rng = np.random.default_rng(0)
    vectors = np.array([4.0, 3.0, 0.0]) + rng.normal(0, 0.3, (100, 3))
    found = reference_of_vectors(vectors.reshape(100, 1, 3, 1))
    assert found is not None
    assert found.center is not None
    assert unpack(found.center) == pytest.approx([0.8, 0.6, 0.0], abs=0.02)
    edges = found.bins["likeness"][""].edges
    cosines = vectors @ [0.8, 0.6, 0.0] / np.linalg.norm(vectors, axis=1)
    assert edges == pytest.approx(np.quantile(cosines, (0.2, 0.4, 0.6, 0.8)), abs=0.01)
    assert reference_of_vectors(vectors[:49]) is None
