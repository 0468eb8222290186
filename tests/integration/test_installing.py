"""``deploy/install.sh`` and the unit, as far as they can be tried without a network and an administrator."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = f"""#!/bin/sh
# Stands in for Python where that would fetch packages.
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin" "$3/lib" && cp "$0" "$3/bin/python" ;;
  "-m pip") : ;;
  "-c import sysconfig"*) mkdir -p "$(dirname "$0")/../lib/numpy" && cd "$(dirname "$0")/../lib" && pwd ;;
  "-c import cv2"*) : ;;
  *) exec {sys.executable} "$@" ;;
esac
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    path = tmp_path / "python"
    path.write_text(PYTHON)
    path.chmod(0o755)
    return path


def install(folder: Path, python: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    wheel = folder / "sightpost.whl"
    wheel.touch()
    return subprocess.run(
        ["bash", "deploy/install.sh", "--wheel", wheel, "--root", "try"],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHON": str(python)} | environment,
        umask=0o077,
    )


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """A folder like a checkout, with a blank in its name, in which an installation may lie."""
    folder = tmp_path / "my checkout"
    folder.mkdir()
    for part in ("deploy", "systemd", "requirements"):
        (folder / part).symlink_to(repository / part)
    return folder


def test_what_a_careful_administrator_installs_the_service_can_read(checkout: Path, python: Path) -> None:
    done = install(checkout, python)
    assert done.returncode == 0, done.stderr
    shut = [
        path
        for path in (checkout / "try").rglob("*")
        if not path.is_symlink() and not path.stat().st_mode & stat.S_IROTH
    ]
    assert shut == []


def test_a_search_path_for_folders_leads_nowhere_else(checkout: Path, python: Path, tmp_path: Path) -> None:
    for name in ("elsewhere/try", "elsewhere/deploy"):
        (tmp_path / name).mkdir(parents=True)
    done = install(checkout, python, CDPATH=f"{tmp_path / 'elsewhere'}:.")
    assert done.returncode == 0, done.stderr
    assert (checkout / "try/opt/sightpost").is_symlink()
    assert list((tmp_path / "elsewhere/try").iterdir()) == []


def test_a_disk_that_cannot_be_written_does_not_keep_the_service_from_starting(repository: Path) -> None:
    """Its outbox lives in memory then; ``chown`` fails on a file system that is read-only."""
    unit = (repository / "systemd/sightpost.service").read_text().splitlines()
    [before] = [line.removeprefix("ExecStartPre=") for line in unit if line.startswith("ExecStartPre=")]
    assert "-" in before.partition("/")[0]
