"""A model is tried in a process of its own before it is trusted: a damaged one can crash whoever runs it.

What has passed is remembered by the hash of the file, the settings and the runtime, so that it is tried once. A sealed
file is whole, and ran in training as it is: at the start, when there is nothing to lose yet and people wait, it is not
tried; in place of a model that serves, it is.
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.durable import replace_file
from edge.errors import ModelFileError, SightpostError, ending
from edge.model_file import is_sealed, read_model_file
from edge.runtime import versions

if TYPE_CHECKING:
    from edge.config import ModelConfig
    from edge.model import Model

logger = logging.getLogger(__name__)

PASSED_FILE = "models-tried.json"
TIMEOUT_S = 20.0
"""Even a slow device loads and proves a model in less, and systemd's watchdog waits for 30 s."""
_REMEMBERED = 100


class Trials:
    """Remembers what has passed.

    Args:
        state_dir: where that is kept; it is made if need be.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / PASSED_FILE

    def require(self, config: ModelConfig, *, serving: bool, timeout_s: float = TIMEOUT_S) -> None:
        """See that the model of a configuration can be loaded here; ``serving``: another one serves meanwhile.

        Raises:
            ModelFileError: it is damaged, crashes or hangs the runtime, or answers otherwise than in training.
        """
        path = Path(config.file)
        if not serving and is_sealed(path):
            return
        key = _key(read_model_file(path).sha256, config)
        passed = self._passed()
        if key in passed:
            return
        try_model(config, timeout_s)
        self._remember([*passed, key])

    def _passed(self) -> list[str]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[str])
        except (OSError, msgspec.DecodeError):
            return []

    def _remember(self, passed: list[str]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, msgspec.json.encode(passed[-_REMEMBERED:]))
        except OSError as error:  # it is tried again next time
            logger.warning("%s: cannot be written: %s", self._path, error.strerror or error)


def _key(sha256: str, config: ModelConfig) -> str:
    settings = msgspec.json.encode([sha256, config, versions()])
    return hashlib.sha256(settings).hexdigest()


def try_model(config: ModelConfig, timeout_s: float = TIMEOUT_S) -> None:
    """Load, prove and ask a model in a process of its own, whatever is known of it.

    Raises:
        ModelFileError: as ``Trials.require``.
    """
    try:
        request = msgspec.json.encode(config)
    except UnicodeEncodeError as error:
        raise ModelFileError(
            f"{config.file}: its path, or that of its labels, is not UTF-8; rename what is not"
        ) from error
    try:
        done = subprocess.run(
            # -P: nothing from the folder where somebody happens to be
            [sys.executable, "-P", "-m", "edge.model_trial"],
            input=request,
            capture_output=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelFileError(f"{config.file}: the runtime hangs on it for {timeout_s:g} s; do not use it") from error
    if done.returncode == 0:
        return
    words = done.stderr.decode(errors="replace").strip()
    if done.returncode == ModelFileError.exit_code and words:
        raise ModelFileError(words)
    raise ModelFileError(
        f"{config.file}: the runtime crashes on it ({ending(done.returncode)}): the file is damaged, or made for "
        "another runtime; copy it again from where it was made"
    )


def try_stranger(config: ModelConfig) -> None:
    """Try a model whose file does not bear our seal, before it could take this program with it.

    Raises:
        ModelFileError: as ``Trials.require``.
    """
    path = Path(config.file)
    if not is_sealed(path):
        read_model_file(path)  # says at once what is wrong with a file that is none
        try_model(config)


def main() -> int:
    """Load, prove and ask the model whose configuration comes on standard input."""
    from edge.config import ModelConfig
    from edge.model import Model

    config = msgspec.json.decode(sys.stdin.buffer.read(), type=ModelConfig)
    try:
        model = Model.load(
            Path(config.file),
            labels=None if config.labels is None else Path(config.labels),
            spec=config.input,
            threads=config.threads or 1,
            runtime=config.runtime,
        )
        _ask(model)
    except SightpostError as error:
        sys.stderr.write(str(error))
        return ModelFileError.exit_code
    return 0


def _ask(model: Model) -> None:
    """Some files load and fail only when they are run; and what is no number is no answer."""
    import numpy as np

    chance = np.random.default_rng(0)
    height, width, _ = model.engine.input.shape
    for picture in (np.zeros((height, width, 3), np.uint8), chance.integers(0, 256, (height, width, 3), np.uint8)):
        prediction = model.predict(picture)
        values = prediction.scores if prediction.embedding is None else prediction.embedding
        if not np.isfinite(values).all():
            raise ModelFileError(f"{model.file.path}: it answers with what is no number; convert or train it anew")


if __name__ == "__main__":
    sys.exit(main())
