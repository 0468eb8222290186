"""A study on disk: trials that several processes or machines take in turns, and that outlive each of them.

The storage is Optuna's journal, an append-only file, so there is no server. What Optuna lacks there is knowing which
trials died with their process; every process therefore holds a lock beside the journal for as long as it lives.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from edge.errors import ConfigError
from trainer.locks import FileLock, is_held

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trainer.search_space import Parameter

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_NAME = "sightpost"
_SEEDS = 1_000_003  # a prime: recipes of neighbouring seeds and their processes get sequences of their own
_UNPRUNED_TRIALS = 5  # a median of fewer says nothing
_UNPRUNED_LOOKS = 3  # the first quarter of a training says little


class TrialRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants to know of a trial.

    Attributes:
        state: ``complete``, ``pruned`` (stopped, since it was worse than the median), ``failed`` or ``running``.
        loss: validation loss at its end, also of a pruned one.
        accuracy: validation accuracy 0…1 of a complete one.
        values: what was tried, by dotted name, as the recipe has it.
        reason: why it failed.
    """

    number: int
    state: str
    values: dict[str, Any]
    loss: float | None = None
    accuracy: float | None = None
    seconds: float | None = None
    reason: str = ""


class Study:
    """The trials of one question: this recipe, these pictures, these parameters. Use ``open_study``."""

    def __init__(self, path: Path, study: optuna.Study, space: tuple[Parameter, ...], me: FileLock) -> None:
        self.path = path
        self.space = space
        self._study = study
        self._me = me

    def ask(self, *, limit: int | None = None) -> tuple[optuna.Trial, dict[str, Any]] | None:
        """The next trial and the values it is to try, or None when ``limit`` trials are finished or under way."""
        with _gate(self.path):
            self._bury_the_dead()
            if limit is not None and len(self._study.get_trials(deepcopy=False, states=_COUNTED)) >= limit:
                return None
            trial = self._study.ask()
            trial.set_user_attr("process", self._me.path.name)
            return trial, {parameter.name: parameter.suggest(trial) for parameter in self.space}

    def complete(self, trial: optuna.Trial, *, loss: float, accuracy: float) -> None:
        """The trial ran to its end."""
        trial.set_user_attr("accuracy", accuracy)
        self._study.tell(trial, loss)

    def prune(self, trial: optuna.Trial) -> None:
        """The trial was stopped, since it did not look like the best."""
        self._study.tell(trial, state=TrialState.PRUNED)

    def fail(self, trial: optuna.Trial, reason: str) -> None:
        """These values cannot be trained with."""
        trial.set_user_attr("reason", reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def interrupt(self, trial: optuna.Trial) -> None:
        """The trial was stopped by a person, and is to be tried again when the study goes on."""
        self.fail(trial, "interrupted")
        self._study.enqueue_trial(trial.params)

    def rows(self) -> list[TrialRow]:
        """All trials, in the order in which they began."""
        return [self._row(trial) for trial in self._study.get_trials(deepcopy=False) if trial.state in _SHOWN]

    def importances(self) -> dict[str, float]:
        """How much each parameter matters for being among the best, 0…1, largest first; empty with too few trials.

        Watanabe et al., "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces", 2023.
        """
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < 2 * _UNPRUNED_TRIALS or len({trial.value for trial in complete}) == 1:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return dict(optuna.importance.get_param_importances(self._study, evaluator=evaluator))

    def _row(self, trial: optuna.trial.FrozenTrial) -> TrialRow:
        loss = trial.value
        if loss is None and trial.intermediate_values:
            loss = trial.intermediate_values[max(trial.intermediate_values)]
        failed = trial.state is TrialState.FAIL
        return TrialRow(
            number=trial.number,
            state="failed" if failed else trial.state.name.lower(),
            values={p.name: p.decode(trial.params[p.name]) for p in self.space if p.name in trial.params},
            loss=loss,
            accuracy=trial.user_attrs.get("accuracy"),
            seconds=None if trial.duration is None else round(trial.duration.total_seconds(), 2),
            reason=trial.user_attrs.get("reason", "its process died") if failed else "",
        )

    def _bury_the_dead(self) -> None:
        """Trials of processes that live no more are tried again."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            process = trial.user_attrs.get("process")
            if process is None or not is_held(self.path.with_name(process)):
                # One without a name was asked for by a process that died before it could sign it.
                self._study.tell(trial.number, state=TrialState.FAIL)
                self._study.enqueue_trial(trial.params)


_COUNTED = (*FINISHED, TrialState.RUNNING)
_SHOWN = (*_COUNTED, TrialState.FAIL)


@contextlib.contextmanager
def open_study(
    path: Path, space: tuple[Parameter, ...], *, question: dict[str, str], seed: int, first: dict[str, Any]
) -> Iterator[Study]:
    """Open a study, or begin it, and belong to it until the end of the block.

    Args:
        path: the journal. Beside it lie lock files of the same name with a suffix.
        space: what is searched.
        question: what its trials have in common, e.g. the fingerprint of the pictures; one study has one.
        seed: of the sampler; each process that joins gets a sequence of its own.
        first: the values that a new study tries before all others, as far as the space has them.

    Raises:
        ConfigError: the file cannot be used, or is a study of another question.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    me = FileLock(path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.alive"))
    try:
        with _gate(path):
            _tidy(path)
            study, process = _load(path, space, question, first)
            me.acquire()
        study.sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=seed * _SEEDS + process)
        study.pruner = optuna.pruners.MedianPruner(_UNPRUNED_TRIALS, n_warmup_steps=_UNPRUNED_LOOKS)
        yield Study(path, study, space, me)
    except OSError as error:
        raise ConfigError(f"{path}: cannot use it as a study: {error.strerror or error}") from error
    finally:
        me.path.unlink(missing_ok=True)
        me.release()


def _load(
    path: Path, space: tuple[Parameter, ...], question: dict[str, str], first: dict[str, Any]
) -> tuple[optuna.Study, int]:
    lock: Any = _JournalLock(path)  # of the shape that Optuna asks for, whose base class is not public
    try:
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
        study = optuna.create_study(storage=storage, study_name=_NAME, load_if_exists=True)
    except (ValueError, KeyError) as error:
        raise ConfigError(f"{path}: is no study, or a damaged one; give another file with --study") from error
    asked = {**question, "parameters": msgspec.json.encode(space, order="sorted").decode()}
    known = study.user_attrs.get("question")
    if known is None:
        study.set_user_attr("question", asked)
        values = {
            parameter.name: parameter.encode(first[parameter.name]) for parameter in space if parameter.name in first
        }
        study.enqueue_trial({name: value for name, value in values.items() if value is not None})
    elif known != asked:
        other = ", ".join(key for key in asked if known.get(key) != asked[key])
        raise ConfigError(f"{path}: this study began with other {other}; give another file with --study, or delete it")
    process = int(study.user_attrs.get("processes", 0))
    study.set_user_attr("processes", process + 1)
    return study, process


def _tidy(path: Path) -> None:
    """After a crash: remove what dead processes left, and a line that a power cut tore."""
    alive = False
    for file in path.parent.glob(f"{path.name}.*.alive"):
        if is_held(file):
            alive = True
        else:
            file.unlink(missing_ok=True)
    if alive or not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as journal:
            journal.truncate(content.rfind(b"\n") + 1)


def _gate(path: Path) -> FileLock:
    """Held while a process looks at the study and then changes it."""
    return FileLock(path.with_name(f"{path.name}.gate"))


class _JournalLock:
    """Optuna's own lock is a file that a kill leaves behind, and that others then wait on for half a minute."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path.with_name(f"{path.name}.lock"))

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()
