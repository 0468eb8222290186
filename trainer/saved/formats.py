"""Which kind of saved model a file is, by its content, and what it says of itself: read, never loaded."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer.saved.errors import SavedModelError

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.saved.protocol import Format

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_HEAD_BYTES = 512
MAX_UNPACKED_BYTES = 8_000_000_000
MAX_CONFIG_BYTES = 200_000_000
CONFIG_ENTRY, METADATA_ENTRY, WEIGHTS_ENTRY = "config.json", "metadata.json", "model.weights.h5"
_WANTED = "a .keras or .h5 file or a SavedModel folder is needed"
_WEIGHTS_ONLY = (
    "holds weights only, no architecture; build the model in Python as it was built then, call its "
    "load_weights(...), save it whole with model.save('model.keras') and convert that"
)


@dataclass(frozen=True, slots=True)
class Description:
    """What a saved model says of itself.

    Attributes:
        config: the model's configuration as JSON; ``None`` for a SavedModel, which is a TensorFlow program instead.
        saved_by: ``"Keras 2.15.0"``, or ``"TensorFlow"``.
        backend: of the Keras that saved it, where that is written down.
    """

    format: Format
    config: dict[str, Any] | None
    saved_by: str
    backend: str = "tensorflow"


def detect(path: Path) -> Format:
    """Tell the formats apart by content: names lie, and R, for one, writes ``.hdf5``.

    Raises:
        SavedModelError: it is missing, or something else; the message says what it looks like.
    """
    if path.is_dir():
        return _detect_folder(path)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise SavedModelError(f"{path}: cannot read the model: {error.strerror or error}") from error
    if head.startswith(_HDF5):
        return "hdf5"
    if head.startswith(_ZIP):
        return _detect_zip(path)
    raise SavedModelError(f"{path}: {_what_else(path, head)}")


def _detect_folder(path: Path) -> Format:
    if (path / "saved_model.pb").is_file():
        return "savedmodel"
    if (path / CONFIG_ENTRY).is_file() and (path / METADATA_ENTRY).is_file():
        raise SavedModelError(f"{path}: is an unpacked .keras file; give the .keras file itself")
    inside = sorted(child.name for child in path.iterdir())[:5]
    raise SavedModelError(f"{path}: no saved_model.pb in this folder (it holds {', '.join(inside) or 'nothing'})")


def _detect_zip(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise SavedModelError(f"{path}: damaged: begins as a zip and is none ({error}); copy it again") from error
    names = {entry.filename for entry in entries}
    if CONFIG_ENTRY not in names:
        what = "a PyTorch file" if any(name.endswith("data.pkl") for name in names) else "a zip of something else"
        raise SavedModelError(f"{path}: is {what}, not a Keras model; {_WANTED}")
    if WEIGHTS_ENTRY not in names:
        raise SavedModelError(f"{path}: has lost its {WEIGHTS_ENTRY}; copy it again or save it anew")
    if any(name.startswith("/") or ".." in name.split("/") for name in names):
        raise SavedModelError(f"{path}: refused: it wants to write outside its own folder")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise SavedModelError(f"{path}: refused: unpacks to more than {MAX_UNPACKED_BYTES / 1e9:.0f} GB")
    return "keras"


def _what_else(path: Path, head: bytes) -> str:
    start = head.lstrip()
    signs = (
        (not head, "is empty"),
        (head[4:8] == b"TFL3", "is a TFLite model already; use it: sightpost classify PICTURE --model FILE"),
        (_PICKLE.match(head), f"is a Python pickle, which runs code when it is read, so it never is; {_WANTED}"),
        (
            head.startswith(b"version https://git-lfs"),
            "is a Git LFS pointer, not the model; fetch it with: git lfs pull",
        ),
        (start.startswith(b"<"), "is a web page, not a model; download the file itself"),
        (path.name == "saved_model.pb", "is one file of a SavedModel; give the folder that holds it"),
        (start.startswith(b"{"), "is an architecture without weights; save the model whole: model.save('model.keras')"),
    )
    return next((text for sign, text in signs if sign), f"is no saved Keras model; {_WANTED}")


def describe(path: Path) -> Description:
    """Read what a saved model says of itself.

    Raises:
        SavedModelError: no saved model, a damaged one, or weights without an architecture.
    """
    kind = detect(path)
    if kind == "savedmodel":
        return Description(kind, None, "TensorFlow")
    return _describe_zip(path) if kind == "keras" else _describe_hdf5(path)


def _describe_zip(path: Path) -> Description:
    with zipfile.ZipFile(path) as archive:
        try:
            if archive.getinfo(CONFIG_ENTRY).file_size > MAX_CONFIG_BYTES:
                raise SavedModelError(f"{path}: refused: its {CONFIG_ENTRY} is larger than any model's")
            config = _as_config(archive.read(CONFIG_ENTRY), path)
            metadata = json.loads(archive.read(METADATA_ENTRY))
        except (zipfile.BadZipFile, KeyError, ValueError, OSError, NotImplementedError, RuntimeError) as error:
            raise SavedModelError(f"{path}: damaged: {_one_line(error)}; copy it again or save it anew") from error
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return Description("keras", config, f"Keras {version or 'of unknown version'}")


def _describe_hdf5(path: Path) -> Description:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            attributes = {name: _text(file.attrs[name]) for name in ("model_config", "keras_version", "backend")
                          if name in file.attrs}  # fmt: skip
            is_weights = "layer_names" in file.attrs or "layers" in file or "_layer_checkpoint_dependencies" in file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise SavedModelError(f"{path}: damaged HDF5: {_one_line(error)}; copy it again or save it anew") from error
    if "model_config" not in attributes:
        raise SavedModelError(f"{path}: {_WEIGHTS_ONLY if is_weights else 'is HDF5, but no Keras model; ' + _WANTED}")
    version = attributes.get("keras_version", "of unknown version")
    return Description(
        "hdf5",
        _as_config(attributes["model_config"], path),
        f"Keras {version}",
        attributes.get("backend", "tensorflow"),
    )


def _as_config(text: str | bytes, path: Path) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SavedModelError(f"{path}: damaged: its configuration is no JSON; copy it again") from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise SavedModelError(f"{path}: damaged: its configuration describes no model; save it anew")
    return config


def _text(value: Any) -> str:  # noqa: ANN401  h5py has no types
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
