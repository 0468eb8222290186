"""A real Home Assistant on the loopback interface, set up and asked over its own REST interface, as its app does.

It needs an environment of its own: ``make test-home-assistant`` makes ``.venv-home-assistant``.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brokers import eventually, free_port

if TYPE_CHECKING:
    from typing import Self

ODD_LABELS = (
    *("open", "Open", "a/b+#", "x\x00y", "\u202eturned", "  ", "None"),
    *("{{ 1/0 }}", "'}}{% raw %}", "long " * 2000, "ü" * 300),
)
"""Labels that a person, or nobody in his right mind, could give."""
CONFIGURATION = """
homeassistant:
  name: test
  time_zone: UTC
http:
  server_host: 127.0.0.1
  server_port: {port}
api:
config:
onboarding:
logger:
  default: warning
"""
CLIENT = "http://127.0.0.1/"
START_S = 120.0


class HomeAssistant:
    """A running Home Assistant, connected to a broker."""

    def __init__(self, python: Path, folder: Path, broker_port: int) -> None:
        self._hass = python.with_name("hass")
        self._folder = folder
        self._broker_port = broker_port
        self._port = free_port()
        self._token = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(exist_ok=True)
        (self._folder / "configuration.yaml").write_text(CONFIGURATION.format(port=self._port))
        self.start()
        try:
            self._become_its_owner()
            self._connect_to_broker()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def start(self) -> None:
        """Start it, with everything that it remembers, and wait until it answers."""
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [self._hass, "--config", self._folder, "--skip-pip"], stdout=log, stderr=subprocess.STDOUT
            )
        eventually(self._answers, timeout_s=START_S, what="Home Assistant answers")

    def restart(self) -> None:
        """Stop and start, with everything that it remembers."""
        self.stop()
        self.start()

    def state(self, entity: str) -> str | None:
        """What an entity shows; ``None`` if there is none of that name."""
        found = self.entity(entity)
        return None if found is None else str(found["state"])

    def entity(self, entity: str) -> dict[str, Any] | None:
        """State and attributes."""
        try:
            found: dict[str, Any] = self._ask(f"/api/states/{entity}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return found

    def attribute(self, entity: str, name: str) -> Any:
        """One of its attributes; ``None`` if there is none."""
        return (self.entity(entity) or {"attributes": {}})["attributes"].get(name)

    def entities(self) -> dict[str, str]:
        """All there are, with what they show."""
        return {one["entity_id"]: one["state"] for one in self._ask("/api/states")}

    def press(self, entity: str) -> None:
        """Press a button."""
        self._ask("/api/services/button/press", {"entity_id": entity})

    def picture(self, entity: str) -> bytes:
        """The picture of an image entity; empty while there is none."""
        path = self.attribute(entity, "entity_picture")
        if path is None:
            return b""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}") as answer:
                return bytes(answer.read())
        except OSError:  # not yet
            return b""

    def complaints(self) -> list[str]:
        """What its log says of MQTT."""
        return [line for line in self._log().splitlines() if "mqtt" in line.lower()]

    def _log(self) -> str:
        path = self._folder / "log.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log()[-2000:]
        try:
            if self._token:
                return bool(self._ask("/api/config")["state"] == "RUNNING")
            self._ask("/api/onboarding")
        except OSError:  # not yet
            return False
        return True

    def _become_its_owner(self) -> None:
        person = {"name": "test", "username": "test", "password": "test", "language": "en", "client_id": CLIENT}
        code = self._ask("/api/onboarding/users", person)["auth_code"]
        form = urllib.parse.urlencode({"grant_type": "authorization_code", "code": code, "client_id": CLIENT})
        self._token = self._send("/auth/token", form.encode(), "application/x-www-form-urlencoded")["access_token"]

    def _connect_to_broker(self) -> None:
        flow = self._ask("/api/config/config_entries/flow", {"handler": "mqtt"})
        answers = {"broker": "127.0.0.1", "port": self._broker_port}
        done = self._ask(f"/api/config/config_entries/flow/{flow['flow_id']}", answers)
        assert done["type"] == "create_entry", done

    def _ask(self, path: str, content: dict[str, Any] | None = None) -> Any:
        return self._send(path, None if content is None else json.dumps(content).encode(), "application/json")

    def _send(self, path: str, content: bytes | None, kind: str) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", content, {"Content-Type": kind})
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  loopback
            return json.loads(answer.read() or b"null")
