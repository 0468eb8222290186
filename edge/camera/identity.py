"""Who we are to a network camera."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from edge.credentials import read_secret
from edge.errors import CameraError

if TYPE_CHECKING:
    from edge.config import CameraConfig


class Credentials:
    """From ``username`` and ``password_file``, or from the address itself.

    Attributes:
        plain_url: the address without credentials.
        url: with them, for those who take them only there; it must appear in no message.
        username: None when there are none.
        password: may be empty.

    Raises:
        CameraError: the password's file cannot be read.
    """

    def __init__(self, config: CameraConfig) -> None:
        parts = urlsplit(str(config.source))
        where = parts.netloc.rpartition("@")[2]
        self.plain_url = urlunsplit(parts._replace(netloc=where))
        self.username: str | None = None
        self.password = ""
        self.url = str(config.source)
        if config.username is not None:
            self.username = config.username
            if config.password_file is not None:
                self.password = read_secret(config.password_file, "password_file", error=CameraError)
            user_info = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}"
            self.url = urlunsplit(parts._replace(netloc=f"{user_info}@{where}"))
        elif parts.username is not None:
            self.username, self.password = unquote(parts.username), unquote(parts.password or "")
