"""The ``[tune]`` table of a recipe: which parameters may vary, and within what.

.. code-block:: toml

    [tune]
    "head.dropout.rate" = {low = 0.0, high = 0.6}
    "train.learning_rate" = {low = 1e-4, high = 1e-2, log = true}
    "train.epochs" = {low = 20, high = 100, step = 10}
    "augment.flip" = [true, false]
    "backbone" = [{alpha = 0.35}, {name = "mobilenetv3small", alpha = 0.75}]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from edge.errors import ConfigError
from edge.strict import convert, nearest
from trainer.parameters import parameters, with_parameters

if TYPE_CHECKING:
    import optuna

    from trainer.recipe import Recipe

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
            return next((_plain(choice) for choice in self.domain.values if _is_present(choice, value)), None)
        if not isinstance(value, int | float) or not self.domain.low <= value <= self.domain.high:
            return None
        offset = (value - self.domain.low) / (self.domain.step or 1)
        on_grid = self.domain.step is None or abs(offset - round(offset)) < 1e-9  # noqa: PLR2004  rounding of floats
        return value if on_grid else None


DEFAULT_SPACE: dict[str, Any] = {
    "head.dropout.rate": {"low": 0.0, "high": 0.6},
    "train.learning_rate": {"low": 3e-4, "high": 2e-2, "log": True},
    "train.weight_decay": {"low": 1e-3, "high": 1.0, "log": True},
    "train.epochs": {"low": 20, "high": 100, "step": 10},
    "train.batch_size": [32, 64, 128],
    "train.label_smoothing": {"low": 0.0, "high": 0.2},
}
"""What is searched where a recipe has no ``[tune]``: those of these that it has. All of it works on one set of
features, so that a trial takes seconds."""

_FIXED = ("seed", "kind", "split")
"""What all trials of a study share: networks judged on other pictures, or by luck, cannot be compared."""
_AFTERWARDS = ("quantize",)
"""What a trial never comes to: it ends with the float network."""


def search_space(recipe: Recipe, table: dict[str, Any]) -> tuple[Parameter, ...]:
    """The parameters to search, each tried against the recipe at its ends.

    Args:
        recipe: what is searched around.
        table: the ``[tune]`` table; names may be quoted (``"head.dropout.rate" = …``) or bare.

    Raises:
        ConfigError: a parameter does not exist, cannot be searched, or cannot have a value that is asked for.
    """
    known = parameters(recipe)
    chosen = _flat(table) or {name: domain for name, domain in DEFAULT_SPACE.items() if name in known}
    found = tuple(_parameter(recipe, name, domain) for name, domain in chosen.items())
    for parameter in found:
        domain = parameter.domain
        for value in domain.values if isinstance(domain, Choices) else (domain.low, domain.high):
            with_parameters(recipe, {parameter.name: value}, where="tune")
    return found


def present(recipe: Recipe, name: str) -> Any:  # noqa: ANN401  a parameter may be of any type
    """What the recipe has for a parameter, or for a whole table.

    Raises:
        ConfigError: there is no such parameter.
    """
    known = parameters(recipe)
    if name in known:
        return known[name]
    inside = {key.removeprefix(f"{name}."): value for key, value in known.items() if key.startswith(f"{name}.")}
    if not inside:
        raise ConfigError(f"tune: no parameter {name!r}; {nearest(name, known)}")
    return inside


def _parameter(recipe: Recipe, name: str, raw: Any) -> Parameter:  # noqa: ANN401  as parsed
    value = present(recipe, name)
    table = name.partition(".")[0]
    if table in _FIXED:
        raise ConfigError(f"tune: {name}: trials that differ in this cannot be compared; leave it out")
    if table in _AFTERWARDS:
        raise ConfigError(f"tune: {name}: trials end before this matters; leave it out")
    if isinstance(raw, list):
        if len(raw) < 2:  # noqa: PLR2004  a choice is between two at least
            raise ConfigError(f"tune: {name}: give at least two values to choose from, or leave it out")
        if isinstance(value, dict) != all(isinstance(choice, dict) for choice in raw):
            raise ConfigError(
                f"tune: {name}: give tables, such as {{alpha = 0.5}}, for a table, and values for a value"
            )
        return Parameter(name=name, domain=Choices(values=tuple(raw)))
    if not isinstance(raw, dict):
        raise ConfigError(f"tune: {name}: give a list of values, or low and high, e.g. {{low = 0.0, high = 0.5}}")
    domain = convert(raw, Range, path=name, where="tune")
    if domain.low >= domain.high or (domain.log and domain.low <= 0) or (domain.log and domain.step):
        raise ConfigError(
            f"tune: {name}: low must be below high, and above 0 with log; log and step exclude each other"
        )
    if isinstance(value, float) or any(isinstance(end, float) for end in (domain.low, domain.high, domain.step)):
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


def _is_present(choice: Any, value: Any) -> bool:  # noqa: ANN401  as parsed
    """Whether the recipe's value is this choice; of a table, the keys that the choice names."""
    if isinstance(choice, dict) and isinstance(value, dict):
        return all(value.get(key) == wanted for key, wanted in choice.items())
    return bool(choice == value)


def _plain(value: Any) -> Choice:  # noqa: ANN401  as parsed
    """Tables and lists as JSON text, since a study stores plain values only."""
    return value if isinstance(value, bool | int | float | str) else msgspec.json.encode(value, order="sorted").decode()
