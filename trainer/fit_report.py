"""The report of a training: what ``fit`` found out, laid out for ``trainer.report``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trainer.recipe_file import toml_text
from trainer.report import Answers, Epoch, ReportData
from trainer.report.measure import said_by, unknown_of

if TYPE_CHECKING:
    from edge.model_card import ModelCard
    from trainer.evaluate import Evaluation
    from trainer.fit import Fitted
    from trainer.recipe import Recipe


def report_of(fitted: Fitted, recipe: Recipe, *, made_at: str) -> ReportData:
    """Everything on the page about one training, on the pictures that it did not learn from."""
    result, data, test = fitted.result, fitted.data, fitted.parts.test
    return ReportData(
        file=result.path,
        card=result.card,
        root=data.root,
        pictures=tuple(data.samples[index].path for index in test),
        truth=data.targets(test) > 0,
        answers=_answers(result.card, result.int8_evaluation, result.path.stat().st_size),
        held_out=True,
        float_answers=_answers(result.card, result.float_evaluation, fitted.float_bytes),
        unknown=unknown_of(result.card, result.int8_evaluation.likeness),
        history=tuple(Epoch(r.stage, r.loss, r.val_loss, r.val_accuracy) for r in fitted.trained.history),
        findings=fitted.audit.findings,
        recipe=toml_text(msgspec.to_builtins(recipe)),
        made_at=made_at,
    )


def _answers(card: ModelCard, evaluation: Evaluation, size_bytes: int) -> Answers:
    return Answers(evaluation.scores, said_by(card, evaluation.scores), evaluation.latency_ms, size_bytes)
