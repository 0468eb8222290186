"""A private certificate authority, made with openssl, for as long as a test runs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, PEM files."""

    cert_file: Path
    key_file: Path


class Authority:
    """Signs certificates; ``days`` may be negative for one that has expired."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._own = Identity(folder / f"{name}.crt", folder / f"{name}.key")
        self.ca_file = self._own.cert_file
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
            "-subj", f"/CN={name}", "-keyout", self._own.key_file, "-out", self._own.cert_file,
        )  # fmt: skip

    def issue(self, name: str, *, valid: tuple[str, str] = ("20200101000000Z", "20991231000000Z")) -> Identity:
        """Make a certificate for a name (``localhost`` is also that of 127.0.0.1), valid between two times."""
        made = Identity(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        request, settings = self._folder / f"{name}.csr", self._folder / f"{name}.cnf"
        addresses = ",IP:127.0.0.1" if name == "localhost" else ""
        settings.write_text(
            f"[ca]\ndefault_ca=own\n[own]\ndatabase={self._folder}/index.txt\nnew_certs_dir={self._folder}\n"
            "rand_serial=yes\ndefault_md=sha256\npolicy=any\nx509_extensions=leaf\nunique_subject=no\n[any]\n"
            f"commonName=supplied\n[leaf]\nsubjectAltName=DNS:{name}{addresses}\n"
        )
        (self._folder / "index.txt").touch()
        _openssl(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={name}", "-keyout", made.key_file, "-out", request,
        )  # fmt: skip
        _openssl(
            "ca", "-batch", "-config", settings, "-startdate", valid[0], "-enddate", valid[1], "-notext",
            "-in", request, "-out", made.cert_file, "-cert", self._own.cert_file, "-keyfile", self._own.key_file,
        )  # fmt: skip
        return made


def _openssl(*arguments: object) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
