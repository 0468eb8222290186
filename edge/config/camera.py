"""``[cameras.NAME]``: a source of frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from edge.config.source import Kind, is_path, kind_of, redacted
from edge.config.values import PositiveSeconds, Seconds, Section, Text, anchored
from edge.errors import ConfigError
from edge.strict import nearest, shown

if TYPE_CHECKING:
    from pathlib import Path

CONTROLS = (
    "auto_exposure",
    "autofocus",
    "backlight_compensation",
    "brightness",
    "contrast",
    "exposure",
    "focus",
    "gain",
    "gamma",
    "hue",
    "iris",
    "pan",
    "roll",
    "saturation",
    "sharpness",
    "tilt",
    "white_balance_automatic",
    "white_balance_temperature",
    "zoom",
)
"""What may stand in ``controls``."""
_BEYOND_CONTROLS = 2**31
"""V4L2 has 32 bits for a value, one of them for its sign."""


class CameraConfig(Section, frozen=True, kw_only=True):
    """``[cameras.NAME]``: a source of frames; docs/cameras.md has every kind with an example.

    ``pace`` and ``loop`` matter for recordings: ``realtime`` plays them as they were filmed, ``fast`` as fast as they
    are answered. A device is asked for ``width_px``, ``height_px``, ``rate_hz``, ``pixel_format`` and ``controls``;
    ``rate_hz`` also says how often pictures are fetched or shown. ``hot`` waits for new pictures in a folder, for ever,
    and says what becomes of them: ``move`` to its sub-folder ``done``, or ``leave``.

    ``username`` and ``password_file`` (or ``credential:NAME``) are for network cameras. ``rotate_deg`` turns clockwise,
    then ``mirror`` swaps left and right. ``frozen_after_s`` 0 never calls a camera frozen.
    """

    source: Text | Annotated[int, msgspec.Meta(ge=0, le=63)]
    pace: Literal["realtime", "fast"] = "realtime"
    loop: bool = False
    hot: Literal["move", "leave"] | None = None
    width_px: Annotated[int, msgspec.Meta(ge=16, le=8192)] | None = None
    height_px: Annotated[int, msgspec.Meta(ge=16, le=8192)] | None = None
    rate_hz: Annotated[float, msgspec.Meta(gt=0, le=240)] | None = None
    pixel_format: Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]{4}\Z")] | None = None
    controls: dict[str, bool | int | float] = msgspec.field(default_factory=dict)
    transport: Literal["tcp", "udp"] = "tcp"
    username: Text | None = None
    password_file: Text | None = None
    verify_tls: bool = True
    rotate_deg: Literal[0, 90, 180, 270] = 0
    mirror: bool = False
    open_timeout_s: PositiveSeconds = 10.0
    read_timeout_s: PositiveSeconds = 5.0
    stale_after_s: PositiveSeconds = 10.0
    frozen_after_s: Seconds = 8.0

    @property
    def kind(self) -> Kind:
        """What kind of source it is; a hot folder need not be there yet."""
        return Kind.PICTURES if self.hot else kind_of(self.source)

    @property
    def is_recording(self) -> bool:
        """True when every frame counts and waits to be asked for: a hot folder, or any recording at pace ``fast``.

        At pace ``realtime`` a recording behaves like a live camera: frames come when they are due, the newest wins.
        """
        return not self.kind.is_camera and (self.pace == "fast" or self.hot is not None)

    @property
    def opens_early(self) -> bool:
        """True when nothing is missed if it opens before anybody looks: all but what plays once, in real time."""
        return self.kind.is_camera or self.is_recording or self.loop

    @property
    def is_replaceable(self) -> bool:
        """True when what cannot be opened may be there later: a camera or hot folder. A wrong file stays wrong."""
        return self.kind.is_camera or self.hot is not None

    @property
    def shown(self) -> str:
        """The source as a message may name it: without secrets."""
        return redacted(self.source)

    def check(self, name: str, where: str) -> None:
        """Find what the types cannot.

        Raises:
            ConfigError: the source cannot be meant, or keys do not fit it or each other.
        """
        try:
            kind = self.kind
        except ConfigError as error:
            raise ConfigError(f"{where}: cameras.{name}.source: {error}") from error
        is_stream = kind is Kind.STREAM
        misplaced = (
            ("pixel_format", self.pixel_format is not None and kind is not Kind.DEVICE, Kind.DEVICE.value),
            ("controls", bool(self.controls) and kind is not Kind.DEVICE, Kind.DEVICE.value),
            ("transport", self.transport == "udp" and not str(self.source).startswith("rtsp"), "an rtsp:// stream"),
            ("username", self.username is not None and not is_stream, Kind.STREAM.value),
            ("hot", self.hot is not None and not is_path(self.source), "a folder of pictures"),
        )
        for key, is_misplaced, wanted in misplaced:
            if is_misplaced:
                raise ConfigError(f"{where}: cameras.{name}.{key}: only for {wanted}, and {self.shown} is none")
        for control, value in self.controls.items():
            if control not in CONTROLS:
                raise ConfigError(
                    f"{where}: cameras.{name}.controls.{shown(control)}: unknown control; {nearest(control, CONTROLS)}"
                )
            if not -_BEYOND_CONTROLS <= value < _BEYOND_CONTROLS:  # nor nan
                raise ConfigError(f"{where}: cameras.{name}.controls.{control}: no control takes that; it has 32 bits")
        self._check_credentials(name, where)

    def _check_credentials(self, name: str, where: str) -> None:
        if self.password_file is not None and self.username is None:
            raise ConfigError(f"{where}: cameras.{name}.username: is missing; password_file is of no use without it")
        if self.username is not None and "@" in urlsplit(str(self.source)).netloc:
            raise ConfigError(
                f"{where}: cameras.{name}.username: there are credentials in the source as well; take them out of it"
            )

    def anchored(self, base: Path) -> CameraConfig:
        """The same with absolute paths, relative ones seen from ``base``."""
        return msgspec.structs.replace(
            self,
            source=str(base / str(self.source)) if is_path(self.source) else self.source,
            password_file=anchored(self.password_file, base),
        )
