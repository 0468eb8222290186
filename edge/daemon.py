"""``sightpost run``: wires the pipeline together, keeps an eye on its threads, and ends it in order.

main thread: signals and watchdog · ``observer``: looks and decides · ``inference-…``: models answer ·
``outbox``: commits · ``publisher``: sends
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import edge
from edge import camera as cameras
from edge import discovery
from edge.camera.address import is_recording
from edge.commands import Desk
from edge.commands.handlers import on_watches
from edge.errors import SightpostError
from edge.measured import Setting, kept
from edge.messages import Topics, gap
from edge.observer import Lookout, Observer
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.record import boot_id
from edge.reporting import Reporter, stamp
from edge.throttle import Throttle
from edge.watch import Watch

if TYPE_CHECKING:
    from edge.config import Config, ModelConfig
    from edge.health import Notifier
    from edge.model import Model
    from edge.publisher.conversation import Listener
    from edge.publisher.dialect import Dialect

logger = logging.getLogger(__name__)

OUTBOX_FILE = "outbox.sqlite"
STUCK_S = 30.0
"""A thread that has not gone round its loop for this long hangs; systemd is no longer told that we are alive."""
_SUPERVISION_S = 1.0


class Daemon:
    """The appliance, from its configuration to its end."""

    def __init__(self, config: Config, notifier: Notifier, *, drain_timeout_s: float = 5.0) -> None:
        self._config = config
        self._notifier = notifier
        self._drain_timeout_s = drain_timeout_s
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._throttle = Throttle()

    def stop(self) -> None:
        """Ask ``run`` to end in order; from any thread."""
        self._stop.set()

    def run(self) -> None:
        """Run until stopped, or until every camera was a recording and has ended.

        Raises:
            ModelFileError: a model is damaged or not to be trusted on this device.
            ConfigError: a watch and its model do not fit.
            OutboxError: nothing can be stored in the state directory.
            CameraError: a recording cannot be read.
        """
        cameras.warm_up()
        watches = self._load_watches()
        topics = Topics(self._config.mqtt.topic_prefix, self._config.device.id)
        boot = boot_id()
        outbox = Outbox.open(
            Path(self._config.device.state_dir) / OUTBOX_FILE,
            self._config.outbox,
            announce=lambda loss: gap(topics, loss, stamp(boot, time.monotonic())),
        )
        publisher = Publisher(outbox, self._config.mqtt, topics, dialect=self._dialect(topics, outbox))
        desk = Desk(self._config.commands, topics, publisher.say)
        for listener in (desk, *self._listeners(outbox)):
            publisher.listen(listener)
        try:
            self._announce(outbox, topics, watches)
            publisher.start()
            lookouts = self._start_cameras(watches)
            reporter = Reporter(topics, outbox.put, clock=time.time, monotonic=time.monotonic)
            observer = Observer(
                lookouts,
                on_answer=reporter.answer,
                on_status=reporter.camera,
                on_watches=reporter.watches,
                clock=time.monotonic,
            )
            desk.open(on_watches(observer, lambda: self._config.watches))
            self._observe(observer, publisher)
        finally:
            self._notifier.stopping()
            publisher.stop(self._drain_timeout_s)
            outbox.close()
        logger.info("sightpost %s has stopped", self._config.device.id)
        if self._failure is not None:
            raise self._failure

    def _dialect(self, topics: Topics, outbox: Outbox) -> Dialect | None:
        """What is spoken instead of our own, if anything is."""
        config = self._config
        if config.sparkplug is None:
            return None
        from edge.sparkplug import ConnectionCounter, Node

        return Node(
            config.sparkplug,
            topics,
            watches=config.watches,
            cameras={watch.camera for watch in config.watches.values()},
            states=lambda: outbox.states(only_dirty=False),
            connections=ConnectionCounter(Path(config.device.state_dir) / "sparkplug-connections"),
        )

    def _load_watches(self) -> list[Watch]:
        measured = kept(Path(self._config.device.state_dir))
        models = {name: load_model(config, measured.get(name)) for name, config in self._config.models.items()}
        return [Watch(name, config, models[config.model]) for name, config in self._config.watches.items()]

    def _listeners(self, outbox: Outbox) -> list[Listener]:
        """Who wants to hear what others say."""
        if self._config.home_assistant is None:
            return []
        prefix = self._config.home_assistant.prefix
        return [discovery.Birth(prefix, lambda: outbox.states(only_dirty=False), outbox.put)]

    def _announce(self, outbox: Outbox, topics: Topics, watches: list[Watch]) -> None:
        """Tell Home Assistant what there is, and take back what was said of watches and cameras that are gone."""
        home_assistant = self._config.home_assistant
        said = {record.topic: record.payload for record in outbox.states(only_dirty=False)}
        names = sorted({watch.config.camera for watch in watches})
        posts = [
            *discovery.retired(topics, said, watches=self._config.watches, cameras=names),
            *discovery.announcements(
                None if home_assistant is None else home_assistant.prefix,
                discovery.Surroundings(topics, names, edge.__version__),
                [discovery.Subject.of(watch) for watch in watches],
                said,
            ),
        ]
        if posts:
            outbox.put(*posts)

    def _start_cameras(self, watches: list[Watch]) -> list[Lookout]:
        lookouts = []
        for name, config in self._config.cameras.items():
            looking = [watch for watch in watches if watch.config.camera == name]
            if not looking:
                logger.warning("cameras.%s: no watch looks through it; it is not started", name)
                continue
            camera = cameras.Camera(name, config)
            camera.start()
            lookouts.append(Lookout(camera, looking, recorded=is_recording(config)))
        return lookouts

    def _observe(self, observer: Observer, publisher: Publisher) -> None:
        thread = threading.Thread(target=self._guarded, args=(observer,), name="observer")
        thread.start()
        self._notifier.ready()
        logger.info("sightpost %s is looking; stop it with SIGTERM or Ctrl-C", self._config.device.id)
        interval_s = min(self._notifier.watchdog_s or _SUPERVISION_S, _SUPERVISION_S)
        try:
            while not self._stop.wait(interval_s):
                stuck_s = time.monotonic() - min(observer.last_turn_s, publisher.last_progress_s)
                if stuck_s < STUCK_S:
                    self._notifier.alive()
                else:
                    self._say_stuck(stuck_s)
        finally:
            observer.stop()
            thread.join()

    def _say_stuck(self, stuck_s: float) -> None:
        if self._throttle.allows("stuck"):
            what_next = "systemd's watchdog will restart us" if self._notifier.watchdog_s else "restart sightpost"
            logger.error("a thread has made no progress for %.0f s; %s", stuck_s, what_next)

    def _guarded(self, observer: Observer) -> None:
        """The observer's thread: however it ends, the daemon ends with it, and says why."""
        try:
            with observer:
                observer.run()
        except SightpostError as error:
            self._failure = error
        except BaseException as error:  # handed to the main thread, which raises it
            self._failure = error
            logger.exception("the observer failed by a fault in this program")
        finally:
            self._stop.set()


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


def stop_on_signals(daemon: Daemon) -> None:
    """Let SIGTERM and SIGINT end the daemon in order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
