"""``tune``: search a recipe's parameters within a budget, and keep the best recipe."""

from __future__ import annotations

import io
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import keras
import msgspec
import numpy as np
import optuna
from rich.console import Console

from edge.errors import ConfigError, SightpostError
from trainer.data import check_question, scan, summary_of_rejected
from trainer.durable import check_out
from trainer.errors import DataError
from trainer.parameters import with_parameters
from trainer.progress import Steps
from trainer.recipe_file import write_recipe
from trainer.search_space import present, search_space
from trainer.sources import list_pictures
from trainer.split import split
from trainer.study import Study, TrialRow, open_study
from trainer.trial import Bench
from trainer.tuning_page import write_page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import FrameType

    from trainer.progress import Step
    from trainer.recipe import Recipe
    from trainer.search_space import Parameter

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
        DataError: the pictures cannot be trained on, or a file cannot be written.
        WeightsError: the pretrained weights are missing or do not fit.
    """
    for option, path in (("--study", places.study), ("--out", places.out), ("--page", places.page)):
        check_out(path, option=option, example="best.toml")
    began = clock()
    space = search_space(recipe, recipe.tune)
    whole = _is_whole(recipe, space)
    with steps.step("look at the pictures", len(list_pictures(root).entries)) as step:
        data = scan(root, multilabel=recipe.kind == "multilabel", on_file=step.advance)
        check_question(data, recipe.kind)
        step.outcome = ", ".join(f"{label} {count}" for label, count in data.counts().items())
    for line in summary_of_rejected(data):
        steps.note(line)
    parts = split(data, recipe.split, np.random.default_rng(recipe.seed))
    if not parts.validation:
        raise DataError(f"{root}: no pictures are left to compare trials on; give more, or a larger split.validation")
    cache = places.study.with_name(f".{places.study.name}.features")
    bench = Bench(data, parts, cache, Steps(Console(file=io.StringIO())), whole=whole)
    base = msgspec.structs.replace(recipe, tune={})
    question = {"pictures": data.fingerprint, "recipe": msgspec.json.encode(base).decode()}
    first = {parameter.name: present(recipe, parameter.name) for parameter in space}
    deadline = None if budget.minutes is None else began + 60 * budget.minutes
    interrupted = False
    with open_study(places.study, space, question=question, seed=recipe.seed, first=first) as study:
        interruption = _Interruption()
        search = _Search(study, bench, base, deadline, clock, steps, interruption.heed)
        try:
            with interruption:
                while search.one_trial(budget.trials):
                    interruption.heed()
        except _Interrupted:
            interrupted = True
        rows = tuple(study.rows())
        complete = [row for row in rows if row.state == "complete"]
        best = min(complete, key=lambda row: (row.loss, row.number), default=None)
        result = TuneResult(rows, best, study.importances(), places, interrupted)
    if best is not None:
        write_recipe(places.out, with_parameters(base, best.values), comment=_comment(result, best))
        write_page(places.page, result.rows, best, result.importances, name=root.name)
    return result


def _is_whole(recipe: Recipe, space: Sequence[Parameter]) -> bool:
    """Whether trials go on to fine-tuning: they do where that is what varies.

    Raises:
        ConfigError: it varies, but the recipe never comes to it; or there is nothing to judge trials by.
    """
    if recipe.kind == "embed":
        raise ConfigError("tune: a model of kind 'embed' is not trained; there is nothing to search")
    names = {parameter.name for parameter in space}
    effort = bool(names & {"train", "train.effort"})
    finetuning = any(name.partition(".")[0] == "finetune" for name in names)
    if finetuning and recipe.train.effort == "quick" and not effort:
        raise ConfigError("tune: with train.effort quick there is no fine-tuning to search; leave finetune out")
    return finetuning or effort


class _Interrupted(BaseException):
    """A person ends the search; a plain KeyboardInterrupt would end one training, which keeps its best and goes on."""


class _Interruption:
    """Ctrl-C while it is entered: ends the search at once, or at the next look where a library lost the exception."""

    def __init__(self) -> None:
        self._asked = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def heed(self) -> None:
        """Raise what was asked for."""
        if self._asked:
            raise _Interrupted

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        raise _Interrupted


class _Search:
    """Trial after trial, until the budget is used."""

    def __init__(
        self,
        study: Study,
        bench: Bench,
        base: Recipe,
        deadline: float | None,
        clock: Callable[[], float],
        steps: Steps,
        heed: Callable[[], None],
    ) -> None:
        self._study = study
        self._bench = bench
        self._base = base
        self._deadline = deadline
        self._clock = clock
        self._steps = steps
        self._heed = heed
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
            with self._steps.step(f"trial {trial.number}") as step:
                self._run(trial, values, step)
        except SightpostError as error:
            self._study.fail(trial, str(error))
            self._failures += 1
            if self._failures >= _FAILURES_IN_A_ROW and not self._one_is_complete():
                raise
            self._steps.note(f"trial {trial.number} cannot be trained: {error}")
        except BaseException:
            self._study.interrupt(trial)
            raise
        return True

    def _run(self, trial: optuna.Trial, values: dict[str, Any], step: Step) -> None:
        recipe = with_parameters(self._base, values)
        keras.backend.clear_session()  # or the graphs of a hundred trials would stay in memory

        def on_look(done: int, loss: float) -> None:
            self._heed()
            trial.report(loss, done)
            if trial.should_prune() or (self._late() and self._one_is_complete()):
                raise optuna.TrialPruned

        shown = ", ".join(f"{name} {_short(value)}" for name, value in values.items())
        try:
            outcome = self._bench.run(recipe, on_look=on_look)
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
