"""Cameras that speak HTTP: a stream of JPEGs (``multipart/x-mixed-replace``), or one picture for each request.

Which of them an address is, the camera's answer tells. The pictures are cut out of the stream here, and only those that
somebody looks at are decoded; a damaged one, or one of another size, is no more than that.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import time
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO, TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPDefaultErrorHandler,
    HTTPDigestAuthHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPPasswordMgrWithDefaultRealm,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    Request,
    UnknownHandler,
)

import numpy as np

from edge.camera.capture import open_stream
from edge.camera.identity import Credentials
from edge.camera.overheard import UNTRUSTED
from edge.camera.source import Grab, Source
from edge.errors import CameraError, PictureError
from edge.preprocess import decode_picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.config import CameraConfig
    from edge.frame import Image

MAX_BYTES = 32 * 1024 * 1024
"""More than any camera's JPEG: what goes on for longer is none."""
SNAPSHOT_RATE_HZ = 1.0
_MAX_LINE_BYTES = 1024
_MAX_LINES = 64
_LONGEST_NAP_S = 0.5
_UNAUTHORIZED = 401
_HASHES = {"md5": "md5", "sha": "sha1", "sha-256": "sha256"}


class Client:
    """Asks one camera. Nothing but HTTP and HTTPS is followed, no proxy is used, credentials go to this camera only."""

    def __init__(self, config: CameraConfig, credentials: Credentials) -> None:
        self._config = config
        self._url = credentials.plain_url
        self._opener = OpenerDirector()
        context = ssl.create_default_context()
        if not config.verify_tls:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for handler in (
            HTTPHandler(),
            HTTPSHandler(context=context),
            HTTPRedirectHandler(),
            HTTPErrorProcessor(),
            HTTPDefaultErrorHandler(),
            UnknownHandler(),
        ):
            self._opener.add_handler(handler)
        if credentials.username is not None:
            secrets = credentials.username, credentials.password
            self._opener.add_handler(_Digest(self._passwords(*(each.encode().decode("latin-1") for each in secrets))))
            self._opener.add_handler(_Basic(self._passwords(*secrets)))

    def _passwords(self, username: str, password: str) -> HTTPPasswordMgrWithDefaultRealm:
        passwords = HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, self._url, username, password)
        return passwords

    def get(self) -> HTTPResponse:
        """Ask for the address; each step of it may take as long as a read.

        Raises:
            CameraError: there is no answer in time, or it is no.
        """
        timeout_s = min(self._config.open_timeout_s, self._config.read_timeout_s)
        try:
            response = self._opener.open(self._url, timeout=timeout_s)
        except HTTPError as error:
            error.close()
            refused = "; see username and password_file" if error.code == _UNAUTHORIZED else ""
            raise CameraError(f"{self._config.shown} cannot be opened: it answers {error.code}{refused}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise CameraError(f"{self._config.shown} cannot be opened: {_reason(error)}") from None
        if not isinstance(response, HTTPResponse):
            raise CameraError(f"{self._config.shown} cannot be opened: no HTTP")
        return response


class _Digest(HTTPDigestAuthHandler):
    """Shows a password once: many cameras lock us out after a few wrong ones, and urllib would try it five times.

    It takes the first offer that it understands, also in SHA-256, and a password in UTF-8. urllib knows text of Latin-1
    at most: the password manager gives it UTF-8 disguised as that.
    """

    def http_error_401(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage) -> Any:  # noqa: ANN401  as in urllib
        """As in urllib."""
        fp.close()
        offers = [each for each in _offers(headers, "digest") if _algorithm_of(each) in _HASHES]
        if req.has_header("Authorization") or not offers:
            return None
        return super().http_error_401(req, fp, code, msg, _with_offer(offers[0]))

    def get_algorithm_impls(self, algorithm: str) -> tuple[Callable[[str], str], Callable[[str, str], str]]:
        """As in urllib."""

        def digest(text: str) -> str:
            return hashlib.new(_HASHES[algorithm.lower()], text.encode("latin-1"), usedforsecurity=False).hexdigest()

        return digest, lambda secret, data: digest(f"{secret}:{data}")


class _Basic(HTTPBasicAuthHandler):
    """Likewise."""

    def http_error_401(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage) -> Any:  # noqa: ANN401  as in urllib
        """As in urllib."""
        fp.close()
        offers = _offers(headers, "basic")
        if req.has_header("Authorization") or not offers:
            return None
        return super().http_error_401(req, fp, code, msg, _with_offer(offers[0]))


def _offers(headers: HTTPMessage, scheme: str) -> list[str]:
    """How a camera wants to be shown a password, of the ways of this kind; it may offer several."""
    return [each for each in headers.get_all("WWW-Authenticate", []) if each.lower().startswith(f"{scheme} ")]


def _with_offer(offer: str) -> HTTPMessage:
    headers = HTTPMessage()
    headers["WWW-Authenticate"] = offer
    return headers


def _algorithm_of(offer: str) -> str:
    named = re.search(r'\balgorithm\s*=\s*"?([\w-]+)', offer, re.IGNORECASE)
    return named[1].lower() if named else "md5"


class MjpegStream(Source):
    """An open stream of pictures.

    Args:
        response: the camera's answer, not read from yet.
        boundary: what separates the pictures.
        what: names the camera in messages.
    """

    live = True
    repeats = False

    def __init__(self, response: HTTPResponse, boundary: str, what: str) -> None:
        self._response = response
        announced = boundary.strip('"').encode("latin-1", "replace")
        # As the standard says, or with the dashes before it announced as well.
        self._marks = (b"--" + announced, b"--" + announced.removeprefix(b"--"))
        self._what = what
        self._encoded = b""
        self._in_part = False

    def grab(self) -> Grab:
        """As in ``Source``: the next picture's bytes."""
        try:
            length = self._part_length()
            self._encoded = self._read_until_mark() if length is None else self._response.read(length)
        except (OSError, HTTPException) as error:
            raise CameraError(f"{self._what} stopped delivering frames: {_reason(error)}") from None
        return Grab.FRAME

    def retrieve(self, out: Image | None) -> Image | None:  # noqa: ARG002  OpenCV decodes pictures to new memory
        """As in ``Source``."""
        return _decoded(self._encoded, self._what)

    def close(self) -> None:
        """As in ``Source``."""
        self._response.close()

    def _part_length(self) -> int | None:
        """Read up to a picture's first byte; how many it has, if the camera says so."""
        length: int | None = None
        in_part, self._in_part = self._in_part, False
        for _ in range(_MAX_LINES):
            line = self._line()
            name, _, value = line.partition(b":")
            if line.startswith(self._marks):
                in_part = True
            elif name.strip().lower() == b"content-length" and value.strip().isdigit():
                length, in_part = int(value), True  # some cameras leave the mark out, or announce another one
                if length > MAX_BYTES:
                    raise CameraError(f"{self._what} sends pictures of more than {MAX_BYTES:,} bytes")
            elif not line and in_part:
                return length
        raise CameraError(f"{self._what} sends no stream of pictures that can be understood")

    def _line(self) -> bytes:
        line = self._response.readline(_MAX_LINE_BYTES)
        if not line:
            raise CameraError(f"{self._what} stopped delivering frames: it has ended the stream")
        return line.strip()

    def _read_until_mark(self) -> bytes:
        """A picture whose length is not told ends at the next mark, which is then behind us."""
        encoded = bytearray()
        while len(encoded) <= MAX_BYTES:
            line = self._response.readline(MAX_BYTES)
            if not line or line.startswith(self._marks):
                self._in_part = True
                return bytes(encoded)
            encoded += line
        raise CameraError(f"{self._what} sends pictures of more than {MAX_BYTES:,} bytes")


class Snapshots(Source):
    """A camera that gives one picture for each request, asked at a rate."""

    live = True

    def __init__(self, client: Client, first: HTTPResponse, what: str, rate_hz: float | None) -> None:
        self._client = client
        self._response: HTTPResponse | None = first
        self._what = what
        self._encoded = b""
        self._due_s = time.monotonic()
        self.rate_hz = rate_hz or SNAPSHOT_RATE_HZ

    def grab(self) -> Grab:
        """As in ``Source``: fetch a picture when it is time to."""
        early_s = self._due_s - time.monotonic()
        if early_s > 0:
            time.sleep(min(early_s, _LONGEST_NAP_S))
            if early_s > _LONGEST_NAP_S:
                return Grab.NOTHING
        self._due_s = max(self._due_s, time.monotonic() - 1 / self.rate_hz) + 1 / self.rate_hz
        response, self._response = self._response or self._client.get(), None
        try:
            with response:
                self._encoded = response.read(MAX_BYTES + 1)
        except (OSError, HTTPException) as error:
            raise CameraError(f"{self._what} stopped delivering frames: {_reason(error)}") from None
        if len(self._encoded) > MAX_BYTES:
            raise CameraError(f"{self._what} sends pictures of more than {MAX_BYTES:,} bytes")
        return Grab.FRAME

    def retrieve(self, out: Image | None) -> Image | None:  # noqa: ARG002  as above
        """As in ``Source``."""
        return _decoded(self._encoded, self._what)


def open_http(config: CameraConfig) -> Source:
    """Open an ``http://`` or ``https://`` camera; what is neither pictures nor a stream of them is left to FFmpeg.

    Raises:
        CameraError: there is no answer in time, it is no, or it is no video.
    """
    credentials = Credentials(config)
    client = Client(config, credentials)
    response = client.get()
    kind = response.headers.get_content_maintype()
    if kind == "multipart":
        return MjpegStream(response, response.headers.get_boundary() or "", config.shown)
    if kind == "image":
        return Snapshots(client, response, config.shown, config.rate_hz)
    response.close()
    return open_stream(config, credentials.url)


def _decoded(encoded: bytes, what: str) -> Image | None:
    try:
        return decode_picture(np.frombuffer(encoded, np.uint8), name=what)
    except PictureError:
        return None


def _reason(error: Exception) -> str:
    """Why, without what a camera may have put into it."""
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, ssl.SSLCertVerificationError):
        return UNTRUSTED
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
