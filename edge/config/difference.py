"""What is to be restarted when one configuration takes the place of another. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from edge.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from edge.config.loading import Config

_S = TypeVar("_S", bound=msgspec.Struct)

_LOOKING = ("cameras", "models", "watches")
_CONNECTION = ("mqtt", "sparkplug", "home_assistant", "commands")
"""Tables whose change is a new connection to the broker."""
_FIXED = {"mqtt": ("topic_prefix",)}
"""Keys of those that nevertheless need a restart, as does every table that is not named here."""


class Difference(Value, frozen=True):
    """What has changed, by name: what is new, what is gone, and what is no longer as it was.

    Attributes:
        cameras: whose process is replaced.
        models: that are loaded.
        watches: that begin anew, with those whose camera or model does.
        connection: whether the broker is to be connected to anew.
        restart: a key that only a restart of the program can change, if there is one.
    """

    cameras: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    watches: frozenset[str] = frozenset()
    connection: bool = False
    restart: str | None = None

    @property
    def looking(self) -> bool:
        """Whether anything changes before the outbox."""
        return bool(self.cameras or self.models or self.watches)

    @property
    def words(self) -> str:
        """The keys, for people."""
        tables = {"cameras": self.cameras, "models": self.models, "watches": self.watches}
        keys = [f"{table}.{name}" for table, names in tables.items() for name in sorted(names)]
        return ", ".join([*keys, *(["the connection to the broker"] if self.connection else [])]) or "nothing"


def difference(old: Config, new: Config, *, replaced: Collection[str] = ()) -> Difference:
    """Compare two configurations; ``replaced`` names models whose file has changed under the same name."""
    cameras = _changed(old.cameras, new.cameras)
    models = _changed(old.models, new.models) | (frozenset(replaced) & new.models.keys())
    watches = _changed(old.watches, new.watches) | {
        name for name, watch in new.watches.items() if watch.camera in cameras or watch.model in models
    }
    connection = any(getattr(old, table, None) != getattr(new, table, None) for table in _CONNECTION)
    if new.sparkplug is not None and _names(old) != _names(new):
        connection = True  # its birth names everything that there is
    return Difference(cameras, models, watches, connection, _restart(old, new))


def _changed(old: Mapping[str, _S], new: Mapping[str, _S]) -> frozenset[str]:
    return frozenset(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _names(config: Config) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(config.watches), frozenset(watch.camera for watch in config.watches.values())


def _restart(old: Config, new: Config) -> str | None:
    for table in old.__struct_fields__:
        if table in _LOOKING:
            continue
        before, after = getattr(old, table), getattr(new, table)
        keys = _FIXED.get(table, ()) if table in _CONNECTION else getattr(before or after, "__struct_fields__", ())
        for key in keys:
            if getattr(before, key, None) != getattr(after, key, None):
                return f"{table}.{key}"
    return None
