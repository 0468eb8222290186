"""``sightpost run``: wires the pipeline together, keeps an eye on its threads, and ends it in order.

main thread: signals and watchdog · ``observer``: looks and decides · ``inference-…``: models answer ·
``outbox``: commits · ``publisher``: sends
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import random
import signal
import threading
import time
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING

import edge
from edge import camera as cameras
from edge import discovery
from edge.commands import Desk
from edge.config.difference import Difference, difference
from edge.errors import ConfigError, SightpostError
from edge.lineup import Lineup
from edge.messages import Topics, gap
from edge.observer import Observer
from edge.outbox import Outbox
from edge.outbox.stores import memory_folder
from edge.pictures import Photographer
from edge.publisher import Publisher
from edge.record import boot_id
from edge.reporting import Reporter, stamp
from edge.sampling import Sampler
from edge.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.commands import Handler
    from edge.config import Config
    from edge.health import Notifier
    from edge.publisher.conversation import Listener
    from edge.publisher.dialect import Dialect
    from edge.watch.outcome import Answer, Embedded

logger = logging.getLogger(__name__)

OUTBOX_FILE = "outbox.sqlite"
STUCK_S = 30.0
"""A thread that has not gone round its loop for this long hangs; systemd is no longer told that we are alive."""
_SUPERVISION_S = 1.0


class Daemon:
    """The appliance, from its configuration to its end.

    Args:
        config: how it begins.
        notifier: who is told how it is.
        read: gives the configuration as it is now, when it is to be reloaded.
        drain_timeout_s: how long to go on sending at the end.
    """

    def __init__(
        self,
        config: Config,
        notifier: Notifier,
        *,
        read: Callable[[], Config] | None = None,
        drain_timeout_s: float = 5.0,
    ) -> None:
        self._config = config
        self._notifier = notifier
        self._read = read or (lambda: config)
        self._drain_timeout_s = drain_timeout_s
        self._wishes: queue.SimpleQueue[Future[Difference] | None] = (
            queue.SimpleQueue()
        )  # it is safe in signal handlers
        self._failure: BaseException | None = None
        self._throttle = Throttle()
        self._topics = Topics(config.mqtt.topic_prefix, config.device.id)

    def stop(self) -> None:
        """Ask ``run`` to end in order; from any thread."""
        self._wishes.put(None)

    def reload(self) -> Future[Difference]:
        """Ask to have the configuration read anew; from any thread. The future holds what has changed by it.

        What changed is restarted, the rest goes on. Where the file is wrong, nothing changes, and the future holds the
        ``SightpostError`` that says why.
        """
        wish: Future[Difference] = Future()
        self._wishes.put(wish)
        return wish

    def run(self) -> None:
        """Run until stopped, or until every camera was a recording and has ended.

        Raises:
            ModelFileError: a model is damaged or not to be trusted on this device.
            ConfigError: a watch and its model do not fit.
            OutboxError: nothing can be stored in the state directory.
            CameraError: a recording cannot be read.
        """
        cameras.warm_up()
        opening = Lineup.of_cameras(self._config)
        with contextlib.ExitStack() as ending:
            for name, camera in opening.cameras.items():
                ending.callback(camera.close)
                if self._config.cameras[name].opens_early:  # while models are loaded
                    camera.start()
            self._lineup = Lineup.of(self._config, opening)
            self._run()
        logger.info("sightpost %s has stopped", self._config.device.id)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        """Run, with cameras that are opening and models that are loaded."""
        boot = boot_id()
        self._outbox = Outbox.open(
            Path(self._config.device.state_dir) / OUTBOX_FILE,
            self._config.outbox,
            announce=lambda loss: gap(self._topics, loss, stamp(boot, time.monotonic())),
            memory=memory_folder(os.environ),
        )
        sampler = Sampler(Path(self._config.device.state_dir), random.Random())  # noqa: S311  chance, no secret
        self._prepare_connection()
        try:
            self._announce()
            self._publisher.start()
            reporter = Reporter(
                self._topics, self._outbox.put, clock=time.time, monotonic=time.monotonic, samples=sampler.counts
            )
            for name, camera in self._lineup.cameras.items():
                if not self._config.cameras[name].opens_early:
                    camera.start()
            self._photographer = Photographer(self._topics, self._outbox.put)
            self._observer = Observer(
                self._lineup.lookouts(),
                on_answer=_all(reporter.answer, self._photographer.answer, sampler.take),
                on_status=reporter.camera,
                on_watches=reporter.watches,
                clock=time.monotonic,
            )
            self._desk.open(self._handlers())
            self._observe()
            self._photographer.close()
        finally:
            self._notifier.stopping()
            sampler.close()
            self._publisher.stop(self._drain_timeout_s)
            self._outbox.close()

    def _prepare_connection(self) -> None:
        """Make, and not start yet, what speaks with the broker, and what takes commands from there."""
        self._publisher = Publisher(self._outbox, self._config.mqtt, self._topics, dialect=self._dialect())
        self._desk = Desk(self._config.commands, self._topics, self._publisher.say)
        for listener in (self._desk, *self._listeners()):
            self._publisher.listen(listener)

    def _handlers(self) -> dict[str, Handler]:
        """Who does what may be asked for over MQTT."""
        if not self._config.commands.allow:
            return {}
        from edge.commands.handlers import on_watches, snapshots, then
        from edge.commands.teaching import teaching

        handlers = on_watches(self._observer, lambda: self._config.watches)
        handlers["snapshot"] = snapshots(self._observer, self._photographer, lambda: self._config.watches)
        handlers["teach"] = teaching(self._observer, self._config.device.state_dir, lambda: self._config.watches)
        handlers["reload"] = lambda _: then(self.reload(), lambda changed: {"changed": changed.words})
        return handlers

    def _dialect(self) -> Dialect | None:
        """What is spoken instead of our own, if anything is."""
        config = self._config
        if config.sparkplug is None:
            return None
        from edge.sparkplug import ConnectionCounter, Node

        return Node(
            config.sparkplug,
            self._topics,
            watches=config.watches,
            cameras=self._lineup.cameras,
            states=lambda: self._outbox.states(only_dirty=False),
            connections=ConnectionCounter(Path(config.device.state_dir) / "sparkplug-connections"),
        )

    def _listeners(self) -> list[Listener]:
        """Who wants to hear what others say."""
        if self._config.home_assistant is None:
            return []
        return [
            discovery.Birth(
                self._config.home_assistant.prefix,
                self._topics,
                lambda: self._outbox.states(only_dirty=False),
                self._outbox.put,
                self._publisher.say,
            )
        ]

    def _announce(self) -> None:
        """Tell Home Assistant what there is, and take back what was said of watches and cameras that are gone."""
        home_assistant = self._config.home_assistant
        said = {record.topic: record.payload for record in self._outbox.states(only_dirty=False)}
        names = sorted(self._lineup.cameras)
        snapshots = "snapshot" in self._config.commands.allow
        posts = [
            *discovery.retired(self._topics, said, watches=self._config.watches, cameras=names),
            *discovery.announcements(
                None if home_assistant is None else home_assistant.prefix,
                discovery.Surroundings(self._topics, names, edge.__version__, self._config.commands.allow),
                [discovery.Subject.of(watch, snapshots=snapshots) for watch in self._lineup.watches.values()],
                said,
            ),
        ]
        if posts:
            self._outbox.put(*posts)

    def _observe(self) -> None:
        thread = threading.Thread(target=self._guarded, name="observer")
        thread.start()
        self._notifier.ready()
        logger.info("sightpost %s is looking; stop it with SIGTERM or Ctrl-C", self._config.device.id)
        interval_s = min(self._notifier.watchdog_s or _SUPERVISION_S, _SUPERVISION_S)
        try:
            while True:
                try:
                    wish = self._wishes.get(timeout=interval_s)
                except queue.Empty:
                    self._supervise()
                    continue
                if wish is None:
                    break
                self._take_over(wish)
        finally:
            self._observer.stop()
            thread.join()

    def _supervise(self) -> None:
        stuck_s = time.monotonic() - min(self._observer.last_progress_s, self._publisher.last_progress_s)
        if stuck_s < STUCK_S:
            self._notifier.alive()
        elif self._throttle.allows("stuck"):
            what_next = "systemd's watchdog will restart us" if self._notifier.watchdog_s else "restart sightpost"
            logger.error("a thread has made no progress for %.0f s; %s", stuck_s, what_next)

    def _take_over(self, wish: Future[Difference]) -> None:
        """Read the configuration anew, and become what it says."""
        if not wish.set_running_or_notify_cancel():
            return
        self._notifier.reloading(time.monotonic())
        try:
            changed = self._become(self._read())
        except SightpostError as error:
            logger.error("The configuration is not taken over, and nothing has changed: %s", error)  # noqa: TRY400  it says it all
            self._publisher.config_error(str(error))
            wish.set_exception(error)
        else:
            logger.info("The configuration was read anew; it has changed: %s", changed.words)
            wish.set_result(changed)  # while there still is the connection on which it was asked for
            if changed.connection:
                self._publisher.stop(self._drain_timeout_s)
                self._prepare_connection()
                self._desk.open(self._handlers())
                self._publisher.start()
            self._announce()
            self._publisher.config_error(None)
        self._notifier.ready()

    def _become(self, config: Config) -> Difference:
        changed = difference(self._config, config, replaced=self._lineup.replaced())
        if changed.restart is not None:
            raise ConfigError(f"{changed.restart}: this takes a restart: systemctl restart sightpost")
        if config.sparkplug is not None:
            from edge.sparkplug.payload import require_protobuf

            require_protobuf()
        lineup = Lineup.of(config, self._lineup, changed)
        if changed.looking:
            replaced = self._observer.replace(lineup.lookouts())
            while not wait([replaced], _SUPERVISION_S).done:
                self._supervise()
            if replaced.cancelled():
                return Difference()  # the observer has ended, and so shall we
        self._config, self._lineup = config, lineup
        return changed

    def _guarded(self) -> None:
        """The observer's thread: however it ends, the daemon ends with it, and says why."""
        try:
            with self._observer:
                self._observer.run()
        except SightpostError as error:
            self._failure = error
        except BaseException as error:  # handed to the main thread, which raises it
            self._failure = error
            logger.exception("the observer failed by a fault in this program")
        finally:
            self.stop()


def _all(*takers: Callable[[Answer | Embedded], None]) -> Callable[[Answer | Embedded], None]:
    """One that hands each answer to all of them, in this order."""

    def call(answer: Answer | Embedded) -> None:
        for take in takers:
            take(answer)

    return call


def heed_signals(daemon: Daemon) -> None:
    """Let SIGTERM and SIGINT end the daemon in order, and SIGHUP have its configuration read anew."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    signal.signal(signal.SIGHUP, lambda *_: daemon.reload())
