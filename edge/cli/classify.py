"""``sightpost classify``: what a model says of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.frame import complain, print_json
from edge.cli.options import add_model_options, load_model, parse_roi, whole
from edge.errors import PictureError, UsageError, one_line

if TYPE_CHECKING:
    import argparse

    from edge.cli.options import Commands
    from edge.model import Prediction


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "classify",
        help="answer for pictures",
        description="Say what a model sees in pictures, exactly as it would in a camera's frame.",
        epilog="example: sightpost classify yard/*.jpg --model gate.tflite --top 2",
    )
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE", help="picture files")
    add_model_options(parser)
    parser.add_argument("--roi", type=parse_roi, metavar="L,T,R,B", help="look at a part only, as fractions")
    parser.add_argument(
        "--top",
        type=whole(1, 10_000),
        default=1,
        metavar="N",
        help="how many classes to name, and more if the answer has more (default: 1)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per picture")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Classify each picture; one that cannot be read is reported and the others go on."""
    from edge.preprocess import read_picture

    model = load_model(arguments)
    if not model.labels:
        raise UsageError(f"{arguments.model}: gives feature vectors, no classes; it has nothing to classify with")
    exit_code = 0
    width = max(len(str(path)) for path in arguments.pictures)
    for path in arguments.pictures:
        try:
            prediction = model.predict(read_picture(path), roi=arguments.roi)
        except PictureError as error:
            complain("sightpost", error)
            exit_code = error.exit_code
            continue
        if arguments.json:
            print_json(_fields(path, prediction, arguments.top))
        else:
            print(_line(path, prediction, arguments.top, width))
    return exit_code


def _line(path: Path, prediction: Prediction, top: int, width: int) -> str:
    answers = "  ".join(f"{label} {score:.3f}" for label, score in prediction.shown(top))
    said = "" if prediction.label == prediction.top(1)[0][0] else f"{prediction.label}:  "
    return one_line(f"{path!s:<{width}}  {said}{answers}")


def _fields(path: Path, prediction: Prediction, top: int) -> dict[str, object]:
    best = [{"label": label, "score": round(score, 6)} for label, score in prediction.shown(top)]
    answer = {"picture": str(path), "label": prediction.label, "score": round(prediction.score, 6)}
    return {**answer, "top": best}
