"""``sightpost embed``: the feature vectors of pictures, for a classifier of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.frame import complain, print_json
from edge.cli.options import add_model_options, load_model, parse_roi
from edge.errors import PictureError, SightpostError, UsageError, one_line

if TYPE_CHECKING:
    import argparse

    import numpy as np
    import numpy.typing as npt

    from edge.cli.options import Commands

_SHOWN = 6  # values of a vector that a person gets to see


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "embed",
        help="feature vectors of pictures",
        description="Give the feature vector of each picture, exactly as a watch with output = 'embedding' would.",
        epilog="example: sightpost embed yard/*.jpg --model vgg16.tflite --out vectors.npy",
    )
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE", help="picture files")
    add_model_options(parser)
    parser.add_argument("--roi", type=parse_roi, metavar="L,T,R,B", help="look at a part only, as fractions")
    parser.add_argument("--l2", action="store_true", help="bring each vector to length 1")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.npy", help="write all as one NumPy array, pictures × the vector's shape"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per picture, with all its values")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Embed each picture; one that cannot be read is reported and left out, and the others go on."""
    from edge.preprocess import read_picture
    from edge.runtime import EMBEDDING
    from edge.vectors import pack, unit

    model = load_model(arguments)
    if EMBEDDING not in model.engine.outputs:
        raise UsageError(f"{arguments.model}: gives scores, no feature vectors; use a model of kind 'embed'")
    exit_code = 0
    vectors: list[npt.NDArray[np.float32]] = []
    for path in arguments.pictures:
        try:
            vector = model.predict(read_picture(path), roi=arguments.roi).embedding
        except PictureError as error:
            complain("sightpost", error)
            exit_code = error.exit_code
            continue
        assert vector is not None  # noqa: S101  the model has that output
        vector = unit(vector) if arguments.l2 else vector
        vectors.append(vector)
        if arguments.json:
            print_json({"picture": str(path), "shape": list(vector.shape), "embedding": pack(vector, "list").data})
        else:
            print(_line(path, vector), flush=True)
    if arguments.out is not None and vectors:
        _write(arguments.out, vectors)
    return exit_code


def _line(path: Path, vector: npt.NDArray[np.float32]) -> str:
    shape = "×".join(str(size) for size in vector.shape)
    values = " ".join(f"{value:.3f}" for value in vector.ravel()[:_SHOWN])
    return one_line(f"{path}  {shape}  {values}{' …' if vector.size > _SHOWN else ''}")


def _write(path: Path, vectors: list[npt.NDArray[np.float32]]) -> None:
    import numpy as np

    try:
        with path.open("wb") as file:
            np.save(file, np.stack(vectors), allow_pickle=False)
    except OSError as error:
        raise SightpostError(f"{path}: cannot be written: {error.strerror or error}") from error
