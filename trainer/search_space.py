"""The ``[tune]`` table of a recipe: which parameters may vary, and within what.

.. code-block:: toml

    [tune]
    "head.dropout" = {low = 0.0, high = 0.6}
    "head.learning_rate" = {low = 1e-4, high = 1e-2, log = true}
    "head.epochs" = {low = 20, high = 100, step = 10}
    "augment.flip" = [true, false]
    "backbone" = [{alpha = 0.35}, {name = "mobilenetv3small", alpha = 0.75}]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from edge.errors import ConfigError
from edge.strict import convert
from trainer.dotted import value_of, with_values

if TYPE_CHECKING:
    import optuna

Choice = bool | int | float | str


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Numbers from ``low`` to ``high``, both included; whole ones where both are and the parameter is."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """One of a few values; a table among them changes several keys of the recipe's table at once."""

    values: tuple[Any, ...]


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter by its dotted name, and what it may be."""

    name: str
    domain: Range | Choices

    def suggest(self, trial: optuna.Trial) -> Any:  # noqa: ANN401  a parameter may be of any type
        """Ask the sampler for a value."""
        if isinstance(self.domain, Choices):
            return self.decode(trial.suggest_categorical(self.name, [_plain(value) for value in self.domain.values]))
        low, high, step = self.domain.low, self.domain.high, self.domain.step
        if isinstance(low, int):
            return trial.suggest_int(self.name, low, int(high), log=self.domain.log, step=int(step or 1))
        return trial.suggest_float(self.name, low, float(high), log=self.domain.log, step=step)

    def decode(self, stored: Any) -> Any:  # noqa: ANN401  as above
        """A value as the recipe has it, from how a study stores it: a study knows no tables."""
        if isinstance(self.domain, Choices):
            return next(value for value in self.domain.values if _plain(value) == stored)
        return stored

    def encode(self, value: Any) -> Choice | None:  # noqa: ANN401  as above
        """A recipe's value as a study stores it, or None where the search could not come to it."""
        if isinstance(self.domain, Choices):
            return next((_plain(choice) for choice in self.domain.values if choice == value), None)
        if not isinstance(value, int | float) or not self.domain.low <= value <= self.domain.high:
            return None
        offset = (value - self.domain.low) / (self.domain.step or 1)
        on_grid = self.domain.step is None or abs(offset - round(offset)) < 1e-9  # noqa: PLR2004  rounding of floats
        return value if on_grid else None


DEFAULT_SPACE: dict[str, Any] = {
    "head.dropout": {"low": 0.0, "high": 0.6},
    "head.dropout.rate": {"low": 0.0, "high": 0.6},
    "head.learning_rate": {"low": 3e-4, "high": 2e-2, "log": True},
    "head.weight_decay": {"low": 1e-5, "high": 1e-1, "log": True},
    "head.epochs": {"low": 20, "high": 100, "step": 10},
    "head.batch_size": [32, 64, 128],
    "train.learning_rate": {"low": 3e-4, "high": 2e-2, "log": True},
    "train.weight_decay": {"low": 1e-3, "high": 3.0, "log": True},
    "train.epochs": {"low": 20, "high": 100, "step": 10},
    "train.batch_size": [32, 64, 128],
    "train.label_smoothing": {"low": 0.0, "high": 0.2},
}
"""What is searched where a recipe has no ``[tune]``: those of these that it has. All of it works on one set of
features, so that a trial takes seconds."""


def search_space(recipe: msgspec.Struct, table: dict[str, Any]) -> tuple[Parameter, ...]:
    """The parameters to search, each tried against the recipe at its ends.

    Args:
        recipe: what is searched around.
        table: the ``[tune]`` table; names may be quoted (``"head.dropout" = …``) or bare (``head.dropout = …``).

    Raises:
        ConfigError: a parameter does not exist, or cannot have a value that is asked for.
    """
    chosen = _flat(table) or {name: domain for name, domain in DEFAULT_SPACE.items() if _exists(recipe, name)}
    parameters = tuple(_parameter(recipe, name, domain) for name, domain in chosen.items())
    for parameter in parameters:
        domain = parameter.domain
        for value in domain.values if isinstance(domain, Choices) else (domain.low, domain.high):
            with_values(recipe, {parameter.name: value}, where="tune")
    return parameters


def _parameter(recipe: msgspec.Struct, name: str, raw: Any) -> Parameter:  # noqa: ANN401  as parsed
    present = value_of(recipe, name)
    if isinstance(raw, list):
        if len(raw) < 2:  # noqa: PLR2004  a choice is between two at least
            raise ConfigError(f"tune: {name}: give at least two values to choose from, or leave it out")
        return Parameter(name=name, domain=Choices(values=tuple(raw)))
    if not isinstance(raw, dict):
        raise ConfigError(f"tune: {name}: give a list of values, or low and high, e.g. {{low = 0.0, high = 0.5}}")
    domain = convert(raw, Range, path=name, where="tune")
    if domain.low >= domain.high or (domain.log and domain.low <= 0) or (domain.log and domain.step):
        raise ConfigError(
            f"tune: {name}: low must be below high, and above 0 with log; log and step exclude each other"
        )
    if isinstance(present, float) or any(isinstance(end, float) for end in (domain.low, domain.high, domain.step)):
        step = None if domain.step is None else float(domain.step)
        domain = Range(low=float(domain.low), high=float(domain.high), log=domain.log, step=step)
    return Parameter(name=name, domain=domain)


def _flat(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    """TOML reads a bare dotted key as nested tables."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{above}{key}"
        if isinstance(value, dict) and not value.keys() & {"low", "high"}:
            found |= _flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def _exists(recipe: msgspec.Struct, name: str) -> bool:
    try:
        return not isinstance(value_of(recipe, name), msgspec.Struct)
    except ConfigError:
        return False


def _plain(value: Any) -> Choice:  # noqa: ANN401  as parsed
    """Tables and lists as JSON text, since a study stores plain values only."""
    return value if isinstance(value, bool | int | float | str) else msgspec.json.encode(value, order="sorted").decode()
