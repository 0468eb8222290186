"""Models, cameras and watches of a configuration, joined; those of the one before that are as they were go on."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edge import camera as cameras
from edge.config.difference import Difference
from edge.measured import Setting, kept
from edge.model_trial import Trials
from edge.observer import Lookout
from edge.value import Value
from edge.watch.lessons import Lessons, lessons_path
from edge.watch.watch import Watch

if TYPE_CHECKING:
    from edge.config import Config, ModelConfig
    from edge.model import Model

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class Mark(Value, frozen=True):
    """What tells a file from one that took its place under the same name."""

    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, path: str) -> Mark:
        """A file as it is now; one that is not there is like none that is."""
        try:
            found = os.stat(path)  # noqa: PTH116  all of it in one call
        except OSError:
            return cls(0, 0, 0)
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)


class Lineup(Value, frozen=True):
    """What is looked at, with what, for which question. Cameras are not started yet, or run already."""

    config: Config
    models: dict[str, Model]
    marks: dict[str, list[Mark]]
    cameras: dict[str, cameras.Camera]
    watches: dict[str, Watch]

    @classmethod
    def of_cameras(cls, config: Config) -> Lineup:
        """Only the cameras: they can open while models are loaded.

        Raises:
            CameraError: a camera's source names nothing possible.
        """
        wanted = _looked_through(config)
        through = {name: cameras.Camera(name, camera) for name, camera in config.cameras.items() if name in wanted}
        return cls(config, {}, {}, through, {})

    @classmethod
    def of(cls, config: Config, before: Lineup, changed: Difference | None = None) -> Lineup:
        """Load and join what has changed since ``before``, or is not there yet; nothing that runs is touched.

        Raises:
            ModelFileError: a model is damaged or not to be trusted on this device.
            ConfigError: a watch and its model do not fit.
            CameraError: a camera's source names nothing possible.
        """
        changed = changed or Difference()
        measured = kept(Path(config.device.state_dir))
        marks = {name: _marks(model) for name, model in config.models.items()}
        models = {name: known for name in config.models if (known := _reusable(before.models, name, changed.models))}
        trials = Trials(Path(config.device.state_dir))
        for name, model in config.models.items():
            if name not in models:
                trials.require(model, serving=bool(before.models))
                models[name] = load_model(model, measured.get(name))
        watches = {
            name: _reusable(before.watches, name, changed.watches) or join(name, config, models[watch.model])
            for name, watch in config.watches.items()
        }
        wanted = _looked_through(config)
        for name in config.cameras.keys() - wanted:
            logger.warning("cameras.%s: no watch looks through it; it is not started", name)
        through = {
            name: _reusable(before.cameras, name, changed.cameras) or cameras.Camera(name, camera)
            for name, camera in config.cameras.items()
            if name in wanted
        }
        return cls(config, models, marks, through, watches)

    def replaced(self) -> set[str]:
        """The models whose files, that of its labels too, are no longer those that were loaded."""
        return {name for name, model in self.config.models.items() if _marks(model) != self.marks[name]}

    def lookouts(self) -> list[Lookout]:
        """Each camera with the watches that look through it."""
        return [
            Lookout(
                camera,
                [watch for watch in self.watches.values() if watch.config.camera == name],
                recorded=self.config.cameras[name].is_recording,
            )
            for name, camera in self.cameras.items()
        ]


def _marks(model: ModelConfig) -> list[Mark]:
    return [Mark.of(path) for path in (model.file, model.labels) if path is not None]


def _looked_through(config: Config) -> set[str]:
    return {watch.camera for watch in config.watches.values()}


def _reusable(known: dict[str, _T], name: str, changed: frozenset[str]) -> _T | None:
    return None if name in changed else known.get(name)


def join(name: str, config: Config, model: Model) -> Watch:
    """A watch of a configuration with its model, and with its lessons if it is taught.

    Raises:
        ConfigError: they do not fit.
    """
    watch = config.watches[name]
    lessons = Lessons(lessons_path(config.device.state_dir, name), model) if watch.kind == "teach" else None
    return Watch(name, watch, model, lessons)


def load_model(config: ModelConfig, measured: Setting | None = None) -> Model:
    """Load and prove the model of a configuration; ``measured`` counts where that says nothing of threads.

    Raises:
        ModelFileError: it is damaged, or not to be trusted on this device.
    """
    from edge.model import Model

    setting = measured if measured and config.threads is None and config.workers is None else Setting()
    return Model.load(
        Path(config.file),
        labels=Path(config.labels) if config.labels else None,
        spec=config.input,
        threads=config.threads or setting.threads,
        workers=config.workers or setting.workers,
        runtime=config.runtime,
    )
