"""Whether a loaded model is a picture model, and whether it really loaded: what it takes, and what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.saved.errors import SavedModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from trainer.saved.protocol import Port

_PICTURE_RANK = 4
_CHANNELS = frozenset({1, 3})
_MIN_CHANGE = 1e-6


def picture_shape(
    inputs: Sequence[Port], size_px: tuple[int, int] | None, *, open_px: int | None = None
) -> tuple[int, int, int]:
    """Height, width and channels of the pictures that a model takes.

    Args:
        inputs: of the model.
        size_px: (height, width) as told, for a model that takes any.
        open_px: to be taken where it takes any and nothing was told, for a mere look.

    Raises:
        SavedModelError: it does not take one picture, or its size is open and was not told, or contradicts what was
            told.
    """
    if len(inputs) != 1:
        listed = "; ".join(map(str, inputs))
        raise SavedModelError(f"it takes {len(inputs)} inputs ({listed}); a picture model takes one, a picture")
    [port] = inputs
    wanted = "(batch, height, width, 1 or 3) is needed"
    if len(port.shape) != _PICTURE_RANK or port.dtype in {"string", "bool"}:
        raise SavedModelError(f"it takes no pictures: its input is {port}, and {wanted}")
    _, height, width, channels = port.shape
    if channels not in _CHANNELS:
        raise SavedModelError(f"{_wrong_channels(port)} its input is {port}, and {wanted}")
    told_height, told_width = size_px or (None, None)
    return _side("height", height, told_height, open_px), _side("width", width, told_width, open_px), int(channels)


def _wrong_channels(port: Port) -> str:
    if port.shape[1] in _CHANNELS:
        return "it wants the colours first (channels_first), which TFLite does not run; build it with the colours last:"
    return "it takes no ordinary pictures:"


def _side(name: str, own: int | None, told: int | None, open_px: int | None) -> int:
    if own is not None and told not in {None, own}:
        raise SavedModelError(f"--size says a {name} of {told} px, but the model takes {own}")
    side = own or told or open_px
    if not side:
        raise SavedModelError(f"it takes pictures of any {name}: say what it was trained on with --size PX or HxW")
    return side


def choose_output(outputs: Sequence[Port], told: str | None) -> str:
    """The name of the output to keep.

    Raises:
        SavedModelError: there are several and none was told, or there is none of that name.
    """
    names = [port.name for port in outputs]
    if told is None and len(names) == 1:
        return names[0]
    if told in names:
        return str(told)
    listed = "; ".join(map(str, outputs))
    why = f"it has no output {told!r}" if told else f"it has {len(names)} outputs"
    raise SavedModelError(f"{why} ({listed}); name the one to keep with --output NAME")


def noise(shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Made-up pictures that have little in common, ``(4, H, W, C) uint8``: two of noise, a dark and a light one."""
    rng = np.random.default_rng(0)
    limits = ((0, 256), (0, 256), (0, 64), (160, 256))
    return np.stack([rng.integers(low, high, shape, dtype=np.uint8) for low, high in limits])


def check_answers(answers: npt.NDArray[np.floating[Any]]) -> None:
    """Refuse a model whose answers ``(n, …)`` are no numbers, or the same whatever it sees.

    Raises:
        SavedModelError: the model did not really load, or was never trained.
    """
    if not np.isfinite(answers).all():
        raise SavedModelError("its answers to random pictures are not finite numbers: the weights are broken")
    rows = answers.reshape(len(answers), -1)
    change = float(np.ptp(rows, axis=0).max())
    if change <= _MIN_CHANGE * max(1.0, float(np.abs(rows).max())):
        raise SavedModelError(
            "it answers the same to every picture, random ones included: its weights were not saved with it, or --mode "
            "is not what it was trained with"
        )


def as_arrays(outputs: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
    """Outputs of TensorFlow as numbers."""
    return {name: np.asarray(value, dtype=np.float32) for name, value in outputs.items()}
