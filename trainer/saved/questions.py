"""What a saved model does not say of itself: told by flags, or asked of a person; never guessed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from trainer.saved.protocol import PixelMode

MODES: dict[PixelMode, str] = {
    "tf": "-1…1: MobileNet, MobileNetV2, Inception, Xception, ResNet V2, NASNet",
    "caffe": "blue-green-red minus ImageNet's mean: VGG, ResNet50/101/152",
    "torch": "ImageNet's mean and deviation: DenseNet",
    "raw": "0…255 as they are: the model scales them itself (Rescaling, EfficientNet, MobileNetV3)",
    "0..1": "divided by 255",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """All that must be known of a model to convert it."""

    mode: PixelMode
    labels: Path | None
    calibration: Path


def complete(
    model: Path,
    *,
    mode: PixelMode | None,
    labels: Path | None,
    calibration: Path | None,
    is_embed: bool,
    hints: Sequence[str],
    can_ask: bool,
) -> Facts:
    """Have said what has not been said.

    Args:
        model: for messages.
        mode: as told by a flag.
        labels: likewise.
        calibration: likewise.
        is_embed: a feature vector has no labels.
        hints: what speaks for one mode or another.
        can_ask: a person sits at a terminal.

    Raises:
        UsageError: something was not said and nobody can be asked; the message names the flag.
    """
    if is_embed and labels is not None:
        raise UsageError("--labels and --kind embed contradict each other: a feature vector has no labels")
    hint = "".join(f"; {text}" for text in hints)
    if mode is None:
        if not can_ask:
            raise UsageError(
                f"{model}: what a pixel becomes before the model sees it is not written in it, and a wrong guess gives "
                f"wrong answers that look right: say --mode tf, caffe, torch, raw or 0..1 (see --help){hint}"
            )
        listed = "\n".join(f"  {name:<6} {text}" for name, text in MODES.items())
        question = f"What was a pixel (0 to 255) turned into before this model saw it, when it was trained?{hint}"
        said = ask(f"{question}\n{listed}\nmode: ", MODES)
        [mode] = [name for name in MODES if name == said]
    if labels is None and not is_embed:
        if not can_ask:
            raise UsageError(
                f"{model}: the names of its outputs are not written in it: give them with --labels FILE, one line each "
                "in their order; or --kind embed if its output is a feature vector"
            )
        labels = Path(ask("Which file names its outputs, one label per line, in their order?\nlabels file: "))
    if calibration is None:
        if not can_ask:
            raise UsageError(
                "int8 needs to see pictures like those the model will see: give 50 to 100 with --calibration FOLDER"
            )
        calibration = Path(ask("Which folder holds pictures like those the model will see (50 to 100)?\npictures: "))
    return Facts(mode, labels, calibration)


def ask(question: str, allowed: Collection[str] = ()) -> str:
    """Ask on standard error until it is answered on standard input.

    Raises:
        UsageError: the input has ended.
    """
    while True:
        print(question, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise UsageError("no answer; give it as a flag, see --help")
        text = line.strip()
        if text and (not allowed or text in allowed):
            return text
        question = f"please answer one of: {', '.join(allowed)}: " if allowed else "please answer: "
