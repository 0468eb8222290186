"""``tune``: search a recipe's parameters within a budget, and keep the best recipe."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import msgspec
import optuna

from edge.errors import ConfigError, SightpostError
from trainer.data import list_classes, scan, summary_of_rejected
from trainer.dotted import value_of, with_values
from trainer.recipe_file import write_recipe
from trainer.search_space import search_space
from trainer.study import Study, TrialRow, open_study
from trainer.trial import Bench
from trainer.tuning_page import write_page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trainer.progress import Step, Steps
    from trainer.recipe import Recipe

_FAILURES_IN_A_ROW = 3
"""As many trials that cannot be trained at all, and none that could, say that the recipe is wrong."""


@dataclass(frozen=True, slots=True)
class Budget:
    """When to stop: after so many minutes of this process, or when the study has so many trials; None is no limit."""

    minutes: float | None = None
    trials: int | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """Where things go: the study's journal, the best recipe, the page of plots."""

    study: Path
    out: Path
    page: Path


@dataclass(frozen=True, slots=True)
class TuneResult:
    """What a study has come to.

    Attributes:
        rows: all its trials, also those of earlier runs and of other processes.
        best: the complete trial with the lowest validation loss, None while there is none.
        importances: share of each parameter in being among the best, 0…1; empty with too few trials.
        interrupted: a person stopped it before its budget was used.
    """

    rows: tuple[TrialRow, ...]
    best: TrialRow | None
    importances: dict[str, float]
    places: Places
    interrupted: bool

    def summary(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "recipe": str(self.places.out) if self.best else None,
            "best": msgspec.to_builtins(self.best),
            "importances": self.importances,
            "trials": msgspec.to_builtins(self.rows),
            "study": str(self.places.study),
            "page": str(self.places.page) if self.best else None,
            "interrupted": self.interrupted,
        }


def tune(
    root: Path,
    recipe: Recipe,
    budget: Budget,
    places: Places,
    *,
    steps: Steps,
    clock: Callable[[], float] = time.monotonic,
) -> TuneResult:
    """Search, and write the best recipe and the page of plots. A second run with the same study goes on with it.

    Args:
        root: pictures, as for ``fit``.
        recipe: what to start from; its ``[tune]`` table says what may vary.
        budget: how long.
        places: what to write. The features lie in a folder beside the study.
        steps: shows progress.
        clock: seconds that never go back.

    Raises:
        ConfigError: the recipe or its ``[tune]`` table is wrong, or the study is one of another question.
        DataError: the pictures cannot be trained on.
        WeightsError: the pretrained weights are missing or do not fit.
    """
    for path in (places.study, places.out, places.page):
        if not path.absolute().parent.is_dir():
            raise ConfigError(f"{path}: its folder does not exist; make it first")
    began = clock()
    space = search_space(recipe, recipe.tune)
    with steps.step("look at the pictures", len(list_classes(root)[1])) as step:
        data = scan(root, on_file=step.advance)
        step.outcome = ", ".join(f"{label} {count}" for label, count in data.counts().items())
    for line in summary_of_rejected(data):
        steps.note(line)
    bench = Bench(data, places.study.with_name(f"{places.study.name}.features"), steps)
    base = msgspec.structs.replace(recipe, tune={})
    question = {"pictures": data.fingerprint, "recipe": msgspec.json.encode(base).decode()}
    first = {parameter.name: value_of(recipe, parameter.name) for parameter in space}
    deadline = None if budget.minutes is None else began + 60 * budget.minutes
    interrupted = False
    with open_study(places.study, space, question=question, seed=recipe.seed, first=first) as study:
        search = _Search(study, bench, base, deadline, clock)
        try:
            while search.one_trial(budget.trials):
                pass
        except KeyboardInterrupt:
            interrupted = True
        rows = tuple(study.rows())
        complete = [row for row in rows if row.state == "complete"]
        best = min(complete, key=lambda row: (row.loss, row.number), default=None)
        result = TuneResult(rows, best, study.importances(), places, interrupted)
    if best is not None:
        write_recipe(places.out, with_values(base, best.values), comment=_comment(result, best))
        write_page(places.page, result.rows, best, result.importances, name=root.name)
    return result


class _Search:
    """Trial after trial, until the budget is used."""

    def __init__(
        self, study: Study, bench: Bench, base: Recipe, deadline: float | None, clock: Callable[[], float]
    ) -> None:
        self._study = study
        self._bench = bench
        self._base = base
        self._deadline = deadline
        self._clock = clock
        self._failures = 0

    def one_trial(self, limit: int | None) -> bool:
        """Run the next trial; whether there was one."""
        if self._late() and self._one_is_complete():
            return False
        asked = self._study.ask(limit=limit)
        if asked is None:
            return False
        trial, values = asked
        try:
            with self._bench.steps.step(f"trial {trial.number}") as step:
                self._run(trial, values, step)
        except SightpostError as error:
            self._study.fail(trial, str(error))
            self._failures += 1
            if self._failures >= _FAILURES_IN_A_ROW and not self._one_is_complete():
                raise
            self._bench.steps.note(f"trial {trial.number} cannot be trained: {error}")
        except BaseException:
            self._study.interrupt(trial)
            raise
        return True

    def _run(self, trial: optuna.Trial, values: dict[str, Any], step: Step) -> None:
        recipe = with_values(self._base, values)
        keras.backend.clear_session()  # or the graphs of a hundred trials would stay in memory

        def on_epoch(epoch: int, loss: float) -> None:
            trial.report(loss, epoch)
            if trial.should_prune() or (self._late() and self._one_is_complete()):
                raise optuna.TrialPruned

        shown = ", ".join(f"{name} {_short(value)}" for name, value in values.items())
        try:
            outcome = self._bench.run(recipe, on_epoch=on_epoch)
        except optuna.TrialPruned:
            self._study.prune(trial)
            step.outcome = f"stopped early: {shown}"
        else:
            self._study.complete(trial, loss=outcome.loss, accuracy=outcome.accuracy)
            step.outcome = f"loss {outcome.loss:.4f}, right {outcome.accuracy:.1%}: {shown}"

    def _late(self) -> bool:
        return self._deadline is not None and self._clock() >= self._deadline

    def _one_is_complete(self) -> bool:
        """However small the budget, it ends with a recipe."""
        return any(row.state == "complete" for row in self._study.rows())


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _comment(result: TuneResult, best: TrialRow) -> str:
    accuracy = f", right in {best.accuracy:.1%}" if best.accuracy is not None else ""
    return (
        f"The best of {len(result.rows)} trials (number {best.number}): validation loss {best.loss:.4f}{accuracy}.\n"
        f"Study: {result.places.study.name}. Train with it: sightpost-train fit DATA --recipe {result.places.out.name}"
    )
