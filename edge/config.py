"""What the owner writes: one TOML file, read strictly.

Unknown keys and wrong types are refused with their path and the nearest right key; units are in the names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec

from edge.errors import ConfigError
from edge.model_card import InputSpec
from edge.strict import convert, nearest, read_toml, shown

if TYPE_CHECKING:
    from pathlib import Path

_S = TypeVar("_S", bound="msgspec.Struct")

_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z"  # $ would let a line break pass
Name = Annotated[str, msgspec.Meta(pattern=_NAME_PATTERN)]
"""A name that is safe as an MQTT topic level and as a folder."""
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
"""A path, address or name: nothing that an operating system or broker refuses."""
Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400 * 366)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: unknown keys are refused."""


class DeviceConfig(_Section, frozen=True, kw_only=True):
    """``[device]``: who this appliance is and where it keeps its state."""

    id: Name
    state_dir: Text = "/var/lib/sightpost"


class TlsConfig(_Section, frozen=True, kw_only=True):
    """``[mqtt.tls]``: encrypt; empty, it trusts the authorities that the system trusts.

    ``ca_file`` is the certificate of the broker's authority; ``cert_file`` and ``key_file`` are who we are, where the
    broker wants to know. PEM files; ``credential:NAME`` takes them from systemd.
    """

    ca_file: Text | None = None
    cert_file: Text | None = None
    key_file: Text | None = None


class MqttConfig(_Section, frozen=True, kw_only=True):
    """``[mqtt]``: the broker. ``version`` is ``auto`` (5, falling back to 3.1.1), ``5`` or ``3.1.1``.

    ``client_id`` is ``sightpost-`` and the device's id unless given. ``password_file`` may be ``credential:NAME``.
    ``replay_rate_hz`` limits how many events of a backlog are sent each second; 0 sends them as fast as it goes.
    """

    host: Text = "localhost"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1883
    version: Literal["auto", "5", "3.1.1"] = "auto"
    topic_prefix: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\Z")] = "sightpost"
    client_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    username: Text | None = None
    password_file: Text | None = None
    tls: TlsConfig | None = None
    transport: Literal["tcp", "websockets"] = "tcp"
    websocket_path: Annotated[str, msgspec.Meta(pattern=r"^/[!-~]*\Z")] = "/mqtt"
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=3600)] = 30
    connect_timeout_s: PositiveSeconds = 5.0
    reconnect_max_s: PositiveSeconds = 10.0
    max_inflight: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    replay_rate_hz: Annotated[float, msgspec.Meta(ge=0, le=100_000)] = 500.0


class OutboxConfig(_Section, frozen=True, kw_only=True):
    """``[outbox]``: how much is kept while the broker is away, and how long a commit may wait for company."""

    max_bytes: Annotated[int, msgspec.Meta(ge=65_536, le=10**13)] = 256_000_000
    max_age_s: Seconds = 30 * 86_400.0
    commit_wait_s: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.005


class CameraConfig(_Section, frozen=True, kw_only=True):
    """``[cameras.NAME]``: a V4L2 index or device, an RTSP/HTTP URL, a video file, a picture folder, or ``scene:gate``.

    ``pace`` matters for recordings: ``realtime`` plays them as they were filmed, ``fast`` as fast as they are answered.
    """

    source: Text | Annotated[int, msgspec.Meta(ge=0, le=63)]
    pace: Literal["realtime", "fast"] = "realtime"
    loop: bool = False
    width_px: Annotated[int, msgspec.Meta(ge=16, le=8192)] | None = None
    height_px: Annotated[int, msgspec.Meta(ge=16, le=8192)] | None = None
    rate_hz: Annotated[float, msgspec.Meta(gt=0, le=240)] | None = None
    open_timeout_s: PositiveSeconds = 10.0
    read_timeout_s: PositiveSeconds = 5.0
    stale_after_s: PositiveSeconds = 10.0


class ModelConfig(_Section, frozen=True, kw_only=True):
    """``[models.NAME]``: a model file; ``labels`` and ``input`` are only for files that carry no card."""

    file: Text
    labels: Text | None = None
    input: InputSpec | None = None
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    runtime: Literal["auto", "litert", "tflite-runtime"] = "auto"


class WatchConfig(_Section, frozen=True, kw_only=True):
    """``[watches.NAME]``: a question asked of a camera.

    ``roi`` is ``[left, top, right, bottom]`` as fractions of the frame. ``interval_s`` 0 asks of every frame.
    An answer becomes the state when it has held for ``hold_s`` seconds and ``hold_frames`` answers in a row;
    an answer whose score is below ``min_score`` is ``unknown``.
    """

    camera: Name
    model: Name
    roi: tuple[Fraction, Fraction, Fraction, Fraction] = (0.0, 0.0, 1.0, 1.0)
    interval_s: Seconds = 1.0
    hold_s: Seconds = 0.0
    hold_frames: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    min_score: Fraction = 0.0
    top: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3


class Config(_Section, frozen=True, kw_only=True):
    """The whole file."""

    device: DeviceConfig
    mqtt: MqttConfig = MqttConfig()
    outbox: OutboxConfig = OutboxConfig()
    cameras: dict[Name, CameraConfig]
    models: dict[Name, ModelConfig]
    watches: dict[Name, WatchConfig]


def load_config(path: Path) -> Config:
    """Read and check a configuration file; relative paths in it are taken from its folder.

    Raises:
        ConfigError: the file is missing, no TOML, or a key is unknown, missing, of a wrong type or value.
    """
    raw = read_toml(path, what="configuration")
    return parse_config(raw, where=str(path), base=path.resolve().parent)


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
        cameras=_table(raw.get("cameras", {}), CameraConfig, "cameras", where),
        models=_table(raw.get("models", {}), ModelConfig, "models", where),
        watches=_table(raw.get("watches", {}), WatchConfig, "watches", where),
    )
    _check_host(config.mqtt.host, where)
    _check_references(config, where)
    return _anchored(config, base)


def _table(raw: object, section: type[_S], path: str, where: str) -> dict[str, _S]:
    """``[cameras.NAME]`` and its like: converted one by one, so that a message can name the entry."""
    if not isinstance(raw, dict) or not raw:
        raise ConfigError(f"{where}: {path}: name at least one, as a table [{path}.NAME]")
    for name in raw:
        if not re.fullmatch(_NAME_PATTERN, name):
            raise ConfigError(
                f"{where}: {path}.{shown(name)}: not a name that can be used; "
                "take letters, digits, - and _, at most 64, beginning with a letter or digit"
            )
    return {name: convert(entry, section, path=f"{path}.{name}", where=where) for name, entry in raw.items()}


def _check_host(host: str, where: str) -> None:
    try:
        host.encode("idna")  # as it is done before a name is looked up
        is_name = not re.search(r"[\s/]", host)
    except UnicodeError:
        is_name = False
    if not is_name:
        raise ConfigError(
            f"{where}: mqtt.host: {host[:80]!r} is no host name; give a name or address alone, e.g. broker.local "
            "(the port goes into mqtt.port)"
        )


def _check_references(config: Config, where: str) -> None:
    for name, watch in config.watches.items():
        for key, value, known in (("camera", watch.camera, config.cameras), ("model", watch.model, config.models)):
            if value not in known:
                raise ConfigError(
                    f"{where}: watches.{name}.{key}: there is no {key} {value!r}; {nearest(value, list(known))}"
                )
        left, top, right, bottom = watch.roi
        if left >= right or top >= bottom:
            raise ConfigError(
                f"{where}: watches.{name}.roi: {list(watch.roi)} is empty; give [left, top, right, bottom] "
                "as fractions of the frame with left < right and top < bottom"
            )


def _anchored(config: Config, base: Path) -> Config:
    """Make every path absolute, relative ones seen from the configuration's folder."""

    def at(path: str | None) -> str | None:
        return path if path is None or path.startswith("credential:") else str(base / path)

    replace = msgspec.structs.replace
    tls = config.mqtt.tls
    return replace(
        config,
        device=replace(config.device, state_dir=str(base / config.device.state_dir)),
        mqtt=replace(
            config.mqtt,
            password_file=at(config.mqtt.password_file),
            tls=tls and replace(tls, ca_file=at(tls.ca_file), cert_file=at(tls.cert_file), key_file=at(tls.key_file)),
        ),
        cameras={name: _anchored_camera(camera, base) for name, camera in config.cameras.items()},
        models={
            name: replace(model, file=str(base / model.file), labels=at(model.labels))
            for name, model in config.models.items()
        },
    )


def _anchored_camera(camera: CameraConfig, base: Path) -> CameraConfig:
    if isinstance(camera.source, int) or re.match(r"^[a-z][a-z0-9+.-]*:", camera.source):
        return camera
    return msgspec.structs.replace(camera, source=str(base / camera.source))
