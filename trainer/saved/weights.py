"""The weights in a saved model's file: complete in themselves, and the same as in the model that was loaded from it."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.saved.errors import SavedModelError
from trainer.saved.formats import WEIGHTS_ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from trainer.saved.protocol import Format

Weight = tuple[str, "npt.NDArray[Any]"]
_HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, zipfile.BadZipFile)
_LISTED = 3


def check_self_contained(path: Path, kind: Format) -> None:
    """HDF5 can refer to other files on this computer, whose content would then travel inside the model file.

    Raises:
        SavedModelError: it refers to other files, or is damaged.
    """
    import h5py

    with _hdf5(path, kind) as file:
        for group in _groups(file):
            for name in group:
                link = group.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    raise SavedModelError(f"{path}: refused: its part {name!r} lies in another file, {link.filename!r}")
                item = group.get(name)
                if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                    raise SavedModelError(f"{path}: refused: its array {item.name!r} lies in another file")


def file_digests(path: Path, kind: Format) -> frozenset[bytes]:
    """A digest of every array of numbers in the file, to find the loaded ones among them.

    Raises:
        SavedModelError: it is damaged.
    """
    if kind == "savedmodel":
        return _checkpoint_digests(path)
    with _hdf5(path, kind) as file:
        return frozenset(_digest(np.asarray(item)) for item in _datasets(file) if _is_number(item.dtype))


def problems(weights: Sequence[Weight], digests: frozenset[bytes]) -> list[str]:
    """What is wrong with the loaded weights, one sentence each.

    Args:
        weights: names and values.
        digests: of the file they should have come from, ``file_digests``.
    """
    numbers = [(name, values) for name, values in weights if np.issubdtype(values.dtype, np.floating) and values.size]
    if not numbers:
        return ["it has no weights at all"]
    found = []
    broken = [name for name, values in numbers if not np.isfinite(values).all()]
    if broken:
        found.append(f"its weights are not finite numbers: {_some(broken)}")
    if not any(values.any() for _, values in numbers):
        found.append("all of its weights are zero")
    strangers = [name for name, values in numbers if _digest(values) not in digests]
    if strangers:
        found.append(f"{len(strangers)} of its {len(numbers)} weights are not those of the file: {_some(strangers)}")
    return found


def _some(names: list[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


@contextlib.contextmanager
def _hdf5(path: Path, kind: Format) -> Iterator[Any]:
    """The HDF5 file that holds the weights; in a ``.keras`` zip it is unpacked first."""
    import h5py

    try:
        if kind == "hdf5":
            with h5py.File(path, "r") as file:
                yield file
            return
        with (
            tempfile.TemporaryDirectory() as folder,
            zipfile.ZipFile(path) as archive,
            h5py.File(archive.extract(WEIGHTS_ENTRY, folder), "r") as file,
        ):
            yield file
    except _HDF5_ERRORS as error:
        reason = " ".join(str(error).split())[:160]
        raise SavedModelError(f"{path}: its weights are damaged: {reason}; copy it again or save it anew") from error


def _groups(file: Any) -> Iterator[Any]:  # noqa: ANN401  h5py has no types
    """Every group of a file, by hard links only, each once: a group may contain itself."""
    import h5py

    seen: set[int] = set()
    waiting = [file]
    while waiting:
        group = waiting.pop()
        if hash(group.id) in seen:
            continue
        seen.add(hash(group.id))
        yield group
        hard = [name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)]
        waiting.extend(item for name in hard if isinstance(item := group.get(name), h5py.Group))


def _datasets(file: Any) -> Iterator[Any]:  # noqa: ANN401  as above
    import h5py

    for group in _groups(file):
        yield from (item for name in group if isinstance(item := group.get(name), h5py.Dataset))


def _checkpoint_digests(path: Path) -> frozenset[bytes]:
    import tensorflow as tf

    prefix = path / "variables" / "variables"
    if not Path(f"{prefix}.index").is_file():
        raise SavedModelError(f"{path}: its folder variables/ is missing or incomplete; copy the whole folder")
    reader = tf.train.load_checkpoint(str(prefix))
    dtypes = reader.get_variable_to_dtype_map()
    return frozenset(_digest(reader.get_tensor(name)) for name, dtype in dtypes.items() if dtype.is_floating)


def _is_number(dtype: np.dtype[Any]) -> bool:
    return bool(np.issubdtype(dtype, np.floating))


def _digest(values: npt.NDArray[Any]) -> bytes:
    """Of shape and content; half precision may be kept as single, so all is compared as single."""
    plain = np.ascontiguousarray(values, dtype=np.float32)
    return hashlib.sha256(repr(plain.shape).encode() + plain.tobytes()).digest()
