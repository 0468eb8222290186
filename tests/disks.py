"""Disks that are small, or that fail when they are told to; mounted for as long as a test runs, which takes root."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def require(*tools: str, root: bool = True) -> None:
    """Skip the test, with one line, where it cannot be done."""
    if root and os.getuid() != 0:
        pytest.skip("this takes root: run the fault tests as root to have this one")
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[Path]:
    """Mount a disk of this size."""
    require("mount")
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield folder
    finally:
        _run("umount", "-l", folder)


def fill(folder: Path) -> Path:
    """Write a file until nothing fits on the disk any more; returns it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        for chunk in (bytes(1 << 20), bytes(4096)):
            try:
                while stream.write(chunk):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return filler


class Ext4:
    """An ext4 file system in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._image = folder.with_suffix(".img")

    def fail(self) -> None:
        """Let the kernel find an error in it: from then on it is read-only."""
        self._control.write_text("1")
        _run("sync", check=False)

    def mount(self) -> None:
        _mount("-o", "loop,errors=remount-ro", self._image, self.folder)

    def unmount(self) -> None:
        _run("umount", "-l", self.folder, check=False)

    def repair(self) -> None:
        """What a person or the next boot does."""
        _run("umount", self.folder)
        _run("e2fsck", "-fy", self._image, check=False)
        self.mount()

    @property
    def _control(self) -> Path:
        source = next(
            line.split()[0] for line in Path("/proc/mounts").read_text().splitlines() if f" {self.folder} " in line
        )
        return Path("/sys/fs/ext4") / Path(source).name / "trigger_fs_error"


@contextmanager
def ext4(folder: Path, size_bytes: int = 32_000_000) -> Iterator[Ext4]:
    """Make and mount an ext4 file system."""
    require("mkfs.ext4", "e2fsck", "mount")
    folder.mkdir()
    image = folder.with_suffix(".img")
    image.touch()
    os.truncate(image, size_bytes)
    _run("mkfs.ext4", "-q", image)
    disk = Ext4(folder)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()


def _mount(*words: object) -> None:
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode != 0:  # root of a container may not
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


def _run(*command: object, check: bool = True) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{command}: {done.stderr}"
