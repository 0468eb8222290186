"""What fit writes into the card for a device to compare its own pictures with."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from edge.model_card import InputSpec, ModelCard, UnknownRule
from edge.vectors import pack
from trainer.deciding import _reference

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
        ("multilabel", 2, COUNT, None),
    ],
)
def test_each_kind_is_measured_by_what_it_has(
    kind: str, columns: int, validation: int, measured: set[str] | None
) -> None:
    rule = UnknownRule(method="centers", threshold=0.1, arrays={"centers": pack(np.eye(2, 8), "int8")})
    card = ModelCard(name="m", version="1", kind=kind, input=InputSpec(), labels=("no", "yes"), unknown=rule)  # type: ignore[arg-type]
    trained, parts = SimpleNamespace(validation=seen(columns)), SimpleNamespace(validation=range(validation))
    found = _reference(card, trained, parts)  # type: ignore[arg-type]
    assert (None if found is None else set(found.bins)) == measured
    if found is not None:
        everything = found.bins["score"][""]
        assert everything.count == COUNT
        assert sum(everything.shares) == pytest.approx(1, abs=1e-3)
        assert 0.5 <= min(everything.edges) <= max(everything.edges) < 0.99
