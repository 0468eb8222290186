"""The search: what may vary, how trials are kept, what is written at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import ConfigError
from trainer.cli import main
from trainer.features import stream_to_file
from trainer.locks import FileLock, is_held
from trainer.parameters import parameters, with_parameters
from trainer.recipe import Recipe, load_recipe
from trainer.recipe_file import write_recipe
from trainer.search_space import DEFAULT_SPACE, present, search_space
from trainer.study import Study, TrialRow, open_study
from trainer.tuning_page import page

SPACE = {"head.dropout.rate": {"low": 0.0, "high": 0.5}, "augment.flip": [True, False]}


def test_a_table_laid_over_a_table_leaves_its_other_keys() -> None:
    changed = with_parameters(Recipe(), {"backbone": {"name": "mobilenetv3small", "alpha": 0.75}})
    assert (changed.backbone.name, changed.backbone.size_px) == ("mobilenetv3small", 224)


def test_what_may_vary_is_no_parameter_itself() -> None:
    recipe = msgspec.structs.replace(Recipe(), tune=SPACE)
    assert not [name for name in parameters(recipe) if name.startswith("tune")]
    assert with_parameters(recipe, {"seed": 5}).tune == SPACE


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"head.dropout.rat": [0, 1]}, "did you mean 'head.dropout.rate'"),
        ({"head.dropout.rate": {"low": 0, "high": 3}}, "expected `float` < 1.0"),
        ({"head.dropout.rate": {"low": 0.5, "high": 0.2}}, "low must be below high"),
        ({"head.dropout.rate": {"low": 0, "hihg": 0.2}}, "did you mean 'high'"),
        ({"head.dropout.rate": {"low": 0.0, "high": 0.2, "log": True}}, "above 0 with log"),
        ({"head.dropout.rate": [0.2]}, "at least two values"),
        ({"train.epochs": {"low": 1, "high": 9.5}}, "expected `int`, got `float`"),
        ({"train.epochs": 5}, "give a list of values, or low and high"),
        ({"backbone": [{"alpha": 1.0}, {"wide": 2}]}, "no parameter 'backbone.wide'"),
        ({"backbone": [{"alpha": 1.0}, "vgg16"]}, "give tables"),
        ({"head.dropout.rate.more": [1, 2]}, "no parameter 'head.dropout.rate.more'"),
        ({"split.test": [0.1, 0.2]}, "cannot be compared"),
        ({"seed": [1, 2]}, "cannot be compared"),
        ({"quantize.tolerance": [0.1, 0.2]}, "before this matters"),
    ],
)
def test_a_wrong_search_space_is_refused_by_its_key(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        search_space(Recipe(), table)
    assert message in str(error.value)


def test_bare_and_quoted_names_mean_the_same(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        '[tune]\n"head.dropout.rate" = {low = 0, high = 0.5}\naugment.flip = [true, false]\n'
    )
    recipe = load_recipe(tmp_path / "r.toml")
    assert search_space(recipe, recipe.tune) == search_space(Recipe(), SPACE)


def test_without_a_table_the_usual_parameters_of_this_recipe_are_searched() -> None:
    names = {parameter.name for parameter in search_space(Recipe(), {})}
    assert len(names) >= 4
    assert names <= set(DEFAULT_SPACE)


def test_a_written_recipe_gives_the_same_recipe_again(tmp_path: Path) -> None:
    recipe = with_parameters(
        Recipe(), {"head.dropout.rate": 0.1 + 0.2, "backbone.weights": 'a "b"\\c', "augment.flip": True}
    )
    write_recipe(tmp_path / "best.toml", recipe, comment="the best\nof all")
    assert load_recipe(tmp_path / "best.toml") == recipe
    assert (tmp_path / "best.toml").read_text().startswith("# the best\n# of all\n")


@contextmanager
def study(path: Path, **question: str) -> Iterator[Study]:
    recipe = with_parameters(Recipe(), {"augment.flip": False})
    space = search_space(recipe, SPACE)
    first = {parameter.name: present(recipe, parameter.name) for parameter in space}
    with open_study(path, space, question=question, seed=1, first=first) as opened:
        yield opened


def run_trials(opened: Study, limit: int) -> int:
    count = 0
    while asked := opened.ask(limit=limit):
        trial, values = asked
        opened.complete(trial, loss=values["head.dropout.rate"] + values["augment.flip"], accuracy=0.5)
        count += 1
    return count


def test_a_study_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with study(tmp_path / "s") as opened:
        assert run_trials(opened, 4) == 4
        assert opened.rows()[0].values == {
            "head.dropout.rate": 0.2,
            "augment.flip": False,
        }  # the recipe's own come first
    with study(tmp_path / "s") as opened:
        assert run_trials(opened, 6) == 2
        assert [row.number for row in opened.rows()] == [0, 1, 2, 3, 4, 5]
    assert not list(tmp_path.glob("*.alive"))


def test_the_search_finds_what_is_good_and_says_what_mattered(tmp_path: Path) -> None:
    with study(tmp_path / "s") as opened:
        run_trials(opened, 25)
        assert min(row.loss or 9 for row in opened.rows()) < 0.1
        importances = opened.importances()
    assert set(importances) == set(SPACE)
    assert sum(importances.values()) == pytest.approx(1)


def test_a_study_of_other_pictures_is_refused(tmp_path: Path) -> None:
    with study(tmp_path / "s", pictures="a"):
        pass
    with pytest.raises(ConfigError, match="began with other pictures"), study(tmp_path / "s", pictures="b"):
        pass


def test_a_file_that_is_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("hello\nworld\n")
    with pytest.raises(ConfigError, match="is no study"), study(tmp_path / "s"):
        pass


def test_a_line_that_a_power_cut_tore_is_cut_off(tmp_path: Path) -> None:
    with study(tmp_path / "s") as opened:
        run_trials(opened, 2)
    with (tmp_path / "s").open("a") as journal:
        journal.write('{"op_code":4,"wor')
    with study(tmp_path / "s") as opened:
        assert run_trials(opened, 3) == 1


KILLED = """
    import sys
    from pathlib import Path
    from test_trainer_tune import study
    with study(Path(sys.argv[1])) as opened:
        asked = opened.ask()
        print(asked[1]["head.dropout.rate"], flush=True)
        sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[tuple[subprocess.Popen[str], float]]:
    """Another process with a trial under way, and the dropout that it tries."""
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as process:
        assert process.stdout
        try:
            yield process, float(process.stdout.readline())
        finally:
            process.kill()


def test_the_trial_of_a_killed_process_is_tried_again_and_that_of_a_living_one_is_left_alone(tmp_path: Path) -> None:
    with holder(tmp_path / "s") as (process, dropout), study(tmp_path / "s") as opened:
        asked = opened.ask(limit=2)
        assert asked is not None
        opened.complete(asked[0], loss=0.1, accuracy=1)
        assert opened.ask(limit=2) is None  # one is complete, the other under way
        process.send_signal(signal.SIGKILL)
        process.wait()
        asked = opened.ask(limit=2)
        assert asked is not None
        assert asked[1]["head.dropout.rate"] == dropout
        opened.complete(asked[0], loss=0.2, accuracy=1)
        states = [row.state for row in opened.rows()]
        assert states == ["failed", "complete", "complete"]
        assert opened.rows()[0].reason == "its process died"


def test_a_lock_is_held_only_as_long_as_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    with FileLock(path):
        assert is_held(path)
        assert not FileLock(path).try_acquire()
    assert not is_held(path)


def test_processes_that_want_the_same_features_wait_for_the_first(tmp_path: Path) -> None:
    runs: list[int] = []

    def run(start: int) -> Iterator[npt.NDArray[np.float32]]:
        runs.append(start)
        for row in range(start, 4):
            time.sleep(0.05)
            yield np.full((1, 3), row, np.float32)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: stream_to_file(tmp_path, "key", (4, 3), run), range(2)))
    assert runs == [0]
    for rows in both:
        assert rows[:, 0].tolist() == [0, 1, 2, 3]


def test_the_page_shows_every_trial_and_takes_no_text_for_markup() -> None:
    trials = [
        TrialRow(number=0, state="complete", values={"a": 0.001, "b": "x"}, loss=0.5, accuracy=0.8, seconds=1),
        TrialRow(number=1, state="complete", values={"a": 0.1, "b": {"n": "<y>"}}, loss=0.4, accuracy=0.9, seconds=1),
        TrialRow(number=2, state="pruned", values={"a": 1.0, "b": "x"}, loss=7.0, seconds=1),
        TrialRow(number=3, state="failed", values={}, reason="no <weights>"),
    ]
    text = page(trials, trials[1], {"a": 0.9, "b": 0.1}, name="<gate>")
    assert text.count("<circle") == 3 * 3  # the history and two slices, of the three trials that came to a loss
    assert text.count("<tr") == 1 + 4
    assert "<y>" not in text
    assert "<gate>" not in text
    assert "http" not in text


def test_a_loss_of_next_to_nothing_is_written_as_0() -> None:
    rows = [
        TrialRow(number=n, state="complete", values={"a": n}, loss=loss, seconds=1)
        for n, loss in ((0, 4.4e-16), (1, 0.1))
    ]
    assert "e-16" not in page(rows, rows[0], {}, name="study")


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--minutes", "0"], "minutes above 0"), (["--trials", "none"], "a number of trials")],
)
def test_a_budget_of_nothing_is_refused(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["tune", "pictures", *flags])
    assert message in capsys.readouterr().err
