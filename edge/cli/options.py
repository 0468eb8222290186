"""Options that several commands share: which model, and what it needs to know if it carries no card."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from edge.config.values import NAME_PATTERN
from edge.errors import UsageError
from edge.model_card import InputSpec
from edge.strict import convert

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.model import Model

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse has no public name for it

ROI_EDGES = 4
THREADS_MAX = 64


def add_model_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """``--model`` and the options for models without a card."""
    parser.add_argument("--model", type=Path, required=required, metavar="FILE", help="the model file (.tflite)")
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="one label per line; only for a model file that names none"
    )
    parser.add_argument(
        "--input",
        metavar="KEY=VALUE,...",
        help="only for a model file without a card: scaling=raw|0..1|-1..1, color=rgb|bgr|gray, "
        "resize=stretch|crop|letterbox, kernel=halving|area|linear",
    )
    parser.add_argument(
        "--threads", type=whole(1, THREADS_MAX), default=1, metavar="N", help="threads of the interpreter (default: 1)"
    )
    parser.add_argument(
        "--runtime", choices=("auto", "litert", "tflite-runtime"), default="auto", help="TFLite runtime (default: auto)"
    )


def load_model(arguments: argparse.Namespace) -> Model:
    """Load the model that the options name.

    Raises:
        ModelFileError: it is damaged or not to be trusted.
        ConfigError: ``--input`` is wrong.
    """
    from edge.config import ModelConfig
    from edge.model import Model
    from edge.model_trial import try_stranger

    spec = parse_input(arguments.input) if arguments.input else None
    labels = None if arguments.labels is None else str(arguments.labels)
    try_stranger(ModelConfig(file=str(arguments.model), labels=labels, input=spec, runtime=arguments.runtime))
    return Model.load(
        arguments.model,
        labels=arguments.labels,
        spec=spec,
        threads=arguments.threads,
        runtime=arguments.runtime,
    )


def parse_input(text: str) -> InputSpec:
    """``scaling=0..1,color=bgr`` as an InputSpec.

    Raises:
        UsageError: not of that form.
        ConfigError: an unknown key or value.
    """
    pairs = [item.partition("=") for item in text.split(",")]
    if not all(key and equals for key, equals, _ in pairs):
        raise UsageError(f"--input {text}: write it as KEY=VALUE,KEY=VALUE, e.g. scaling=0..1,color=rgb")
    try:
        values = {key.strip(): int(value) if value.strip().isdecimal() else value.strip() for key, _, value in pairs}
    except ValueError as error:  # Python reads no number of so many digits
        raise UsageError(f"--input: {error}") from error
    return convert(values, InputSpec, path="", where="--input")


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """A whole number within limits, for argparse."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or not lowest <= number <= highest:
            raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from {lowest} to {highest}")
        return number

    return parse


def seconds(lowest: float, highest: float) -> Callable[[str], float]:
    """A number of seconds within limits, for argparse."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not lowest <= number <= highest:
            raise argparse.ArgumentTypeError(f"{text!r}: give a number of seconds from {lowest:g} to {highest:g}")
        return number

    return parse


def device_id(text: str) -> str:
    """A device's id, for argparse: anything else would be another topic, or none."""
    if not re.fullmatch(NAME_PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text!r} is no device.id: these are letters, digits, - and _")
    return text


def parse_roi(text: str) -> tuple[float, float, float, float]:
    """``left,top,right,bottom`` as fractions, for argparse."""
    try:
        edges = tuple(float(part) for part in text.split(","))
    except ValueError:
        edges = ()
    if len(edges) != ROI_EDGES or not (0 <= edges[0] < edges[2] <= 1 and 0 <= edges[1] < edges[3] <= 1):
        raise argparse.ArgumentTypeError(f"{text!r}: give left,top,right,bottom as fractions, e.g. 0.1,0,0.5,1")
    return edges[0], edges[1], edges[2], edges[3]
