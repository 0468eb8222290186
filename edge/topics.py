"""Where Sightpost says each thing over MQTT."""

from __future__ import annotations

from edge.value import Value


class Topics(Value, frozen=True):
    """Where each thing is said. Names of devices, watches and cameras are topic levels; labels never are."""

    prefix: str
    device: str

    @property
    def status(self) -> str:
        """The device: retained; the broker's last will says ``offline`` here."""
        return f"{self.prefix}/{self.device}/status"

    def state(self, watch: str) -> str:
        """What the watch sees now: retained."""
        return f"{self.prefix}/{self.device}/{watch}/state"

    def event(self, watch: str) -> str:
        """Every change of what the watch sees."""
        return f"{self.prefix}/{self.device}/{watch}/event"

    def watch_status(self, watch: str) -> str:
        """How the watch itself is: retained."""
        return f"{self.prefix}/{self.device}/{watch}/status"

    def answer(self, watch: str) -> str:
        """Every single answer of the watch, for those who ask for it."""
        return f"{self.prefix}/{self.device}/{watch}/answer"

    def embedding(self, watch: str) -> str:
        """The feature vector of every look."""
        return f"{self.prefix}/{self.device}/{watch}/embedding"

    def image(self, watch: str) -> str:
        """What the watch saw when it last changed, as JPEG: retained."""
        return f"{self.prefix}/{self.device}/{watch}/image"

    @property
    def gap(self) -> str:
        """What was lost."""
        return f"{self.prefix}/{self.device}/gap"

    def command(self, tail: str) -> str:
        """What the device is told: the command, and the watch that it concerns."""
        return f"{self.prefix}/{self.device}/cmd/{tail}"

    @property
    def reply(self) -> str:
        """Answers to commands whose sender does not say where it wants them."""
        return f"{self.prefix}/{self.device}/cmd/response"

    def camera_status(self, camera: str) -> str:
        """Whether the camera delivers: retained."""
        return f"{self.prefix}/{self.device}/camera/{camera}/status"

    @property
    def check(self) -> str:
        """Nothing but a trial of whether this device may speak here."""
        return f"{self.prefix}/{self.device}/check"
