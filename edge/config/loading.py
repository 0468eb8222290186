"""Reading the file: TOML into a ``Config``, strictly, with every path made absolute."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from edge.config.camera import CameraConfig
from edge.config.commands import CommandsConfig
from edge.config.device import DeviceConfig, OutboxConfig
from edge.config.home_assistant import HomeAssistantConfig
from edge.config.model import ModelConfig
from edge.config.mqtt import MqttConfig
from edge.config.sparkplug import SparkplugConfig
from edge.config.values import NAME_PATTERN, Name, Section
from edge.config.watch import WatchConfig
from edge.errors import ConfigError
from edge.strict import convert, is_utf8, nearest, read_toml, shown

if TYPE_CHECKING:
    from pathlib import Path

_S = TypeVar("_S", bound="msgspec.Struct")


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    device: DeviceConfig
    mqtt: MqttConfig = MqttConfig()
    outbox: OutboxConfig = OutboxConfig()
    sparkplug: SparkplugConfig | None = None
    home_assistant: HomeAssistantConfig | None = None
    commands: CommandsConfig = CommandsConfig()
    cameras: dict[Name, CameraConfig]
    models: dict[Name, ModelConfig]
    watches: dict[Name, WatchConfig]


def load_config(path: Path) -> Config:
    """Read and check a configuration file; relative paths in it are taken from its folder.

    Raises:
        ConfigError: the file is missing, no TOML, or a key is unknown, missing, of a wrong type or value.
    """
    raw = read_toml(path, what="configuration")
    base = path.resolve().parent
    if not is_utf8(str(base)):  # paths in it go to other processes, and into messages
        raise ConfigError(f"{path}: the name of a folder that it lies in is not UTF-8; rename that")
    return parse_config(raw, where=str(path), base=base)


def parse_config(raw: dict[str, Any], *, where: str, base: Path) -> Config:
    """Turn a parsed TOML document into a ``Config``; ``where`` names it in messages, ``base`` anchors relative paths.

    Raises:
        ConfigError: as ``load_config``.
    """
    tables = [field.name for field in msgspec.structs.fields(Config)]
    for key in raw:
        if key not in tables:
            raise ConfigError(f"{where}: {shown(key)}: unknown table; {nearest(key, tables)}")
    config = Config(
        device=convert(raw.get("device", {}), DeviceConfig, path="device", where=where),
        mqtt=convert(raw.get("mqtt", {}), MqttConfig, path="mqtt", where=where),
        outbox=convert(raw.get("outbox", {}), OutboxConfig, path="outbox", where=where),
        sparkplug=_optional(raw, SparkplugConfig, "sparkplug", where),
        home_assistant=_optional(raw, HomeAssistantConfig, "home_assistant", where),
        commands=convert(raw.get("commands", {}), CommandsConfig, path="commands", where=where),
        cameras=_table(raw.get("cameras", {}), CameraConfig, "cameras", where),
        models=_table(raw.get("models", {}), ModelConfig, "models", where),
        watches=_table(raw.get("watches", {}), WatchConfig, "watches", where),
    )
    config.mqtt.check(where)
    if config.sparkplug and config.home_assistant:
        raise ConfigError(f"{where}: home_assistant: it does not understand Sparkplug; leave out one of the two tables")
    for name, camera in config.cameras.items():
        camera.check(name, where)
    for name, watch in config.watches.items():
        _check_references(config, name, watch, where)
        watch.check(name, where)
    return _anchored(config, base)


def _optional(raw: dict[str, Any], section: type[_S], path: str, where: str) -> _S | None:
    return convert(raw[path], section, path=path, where=where) if path in raw else None


def _table(raw: object, section: type[_S], path: str, where: str) -> dict[str, _S]:
    """``[cameras.NAME]`` and its like: converted one by one, so that a message can name the entry."""
    if not isinstance(raw, dict) or not raw:
        raise ConfigError(f"{where}: {path}: name at least one, as a table [{path}.NAME]")
    for name in raw:
        if not re.fullmatch(NAME_PATTERN, name):
            raise ConfigError(
                f"{where}: {path}.{shown(name)}: not a name that can be used; "
                "take letters, digits, - and _, at most 64, beginning with a letter or digit"
            )
    return {name: convert(entry, section, path=f"{path}.{name}", where=where) for name, entry in raw.items()}


def _check_references(config: Config, name: str, watch: WatchConfig, where: str) -> None:
    if name == "cmd":
        raise ConfigError(f"{where}: watches.cmd: this name is taken on MQTT, by the commands; choose another one")
    for key, value, known in (("camera", watch.camera, config.cameras), ("model", watch.model, config.models)):
        if value not in known:
            raise ConfigError(
                f"{where}: watches.{name}.{key}: there is no {key} {value!r}; {nearest(value, list(known))}"
            )
    if config.cameras[watch.camera].hot is not None and (watch.interval_s or watch.cadence != "interval"):
        raise ConfigError(
            f"{where}: watches.{name}.interval_s: must be 0 for the hot folder cameras.{watch.camera}, "
            "or pictures that arrive together would be passed over"
        )


def _anchored(config: Config, base: Path) -> Config:
    return msgspec.structs.replace(
        config,
        device=config.device.anchored(base),
        mqtt=config.mqtt.anchored(base),
        cameras={name: camera.anchored(base) for name, camera in config.cameras.items()},
        models={name: model.anchored(base) for name, model in config.models.items()},
    )
