"""The child process: reads a request, does what it can with a model that may be hostile or broken, leaves an answer.

Started as ``python -m trainer.saved.worker REQUEST`` by ``trainer.saved.child``.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec.structs import replace

from trainer.saved.errors import SavedModelError, UntrustedModelError
from trainer.saved.inspection import inspect
from trainer.saved.protocol import (
    ANSWER_FILE,
    REFERENCE_FILE,
    TFLITE_FILE,
    Answer,
    Failure,
    Inspection,
    Loaded,
    Request,
    decode_request,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from trainer.saved.loading import LoadedModel
    from trainer.saved.protocol import PixelMode

_BATCH = 8
_ANY_SIZE_PX = 224


def main(request_path: Path) -> None:
    """Do what the request says and write the answer beside it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash must not leave gigabytes behind
    request = decode_request(request_path.read_bytes())
    answer = _answer(request)
    half_written = request.folder / f"{ANSWER_FILE}.part"
    half_written.write_bytes(msgspec.json.encode(answer))
    half_written.rename(request.folder / ANSWER_FILE)


def _answer(request: Request) -> Answer:
    inspection: Inspection | None = None
    try:
        inspection = inspect(request.path)
        if request.action == "inspect":
            return Answer(inspection=inspection)
        _check_allowed(request, inspection)
        return Answer(inspection=inspection, loaded=_load(request, inspection))
    except UntrustedModelError as error:
        return Answer(inspection=inspection, failure=Failure(message=str(error), untrusted=True))
    except SavedModelError as error:
        text = str(error)
        message = text if text.startswith(str(request.path)) else f"{request.path}: {text}"
        return Answer(inspection=inspection, failure=Failure(message=message))


def _check_allowed(request: Request, inspection: Inspection) -> None:
    if inspection.dangers and not request.trust:
        raise UntrustedModelError(
            f"{request.path}: refused, because loading it could run code that is inside it: "
            f"{'; '.join(inspection.dangers)}; if you trust whoever made it, add --trust"
        )
    if inspection.obstacles:
        raise SavedModelError("; ".join(inspection.obstacles))


def _load(request: Request, inspection: Inspection) -> Loaded:
    from trainer.saved.checks import as_arrays, check_answers, choose_output, noise, picture_shape
    from trainer.saved.loading import load
    from trainer.saved.weights import file_digests, problems

    model = load(request.path, inspection, trust=request.trust)
    loaded = Loaded(
        loader=model.loader,
        attempts=model.attempts,
        inputs=model.inputs,
        outputs=model.outputs,
        layers=model.layers,
        parameters=sum(row.parameters for row in model.layers),
    )
    wrong = problems(model.weights, file_digests(request.path, inspection.format))
    if wrong:
        raise SavedModelError(f"it did not load as it was saved: {'; '.join(wrong)}")
    # Only to look at it, what is left open does not matter.
    looking = request.action == "load"
    height, width, channels = shape = picture_shape(
        model.inputs, request.size_px, open_px=_ANY_SIZE_PX if looking else None
    )
    told = request.output or (model.outputs[0].name if looking else None)
    output = choose_output(model.outputs, told)
    random = as_arrays(_ask(model, noise(shape), request.mode or "tf"))[output]
    check_answers(random)
    numbers = sum(int(values.size) for _, values in model.weights)
    loaded = replace(
        loaded,
        checks=(
            f"{len(model.weights)} weights, {numbers:,} numbers: finite, and the same as in the file",
            f"answers to random pictures are finite and differ ({random.min():.3g} to {random.max():.3g})",
        ),
    )
    if looking:
        return loaded
    color = "gray" if channels == 1 else request.spec.color
    spec = replace(request.spec, height_px=height, width_px=width, color=color, scaling="raw")
    return _export(replace(loaded, spec=spec), model, output, random, request)


def _export(
    loaded: Loaded, model: LoadedModel, output: str, random: npt.NDArray[np.float32], request: Request
) -> Loaded:
    from edge.preprocess import prepare, read_picture
    from trainer.saved.checks import as_arrays
    from trainer.saved.export import last_operation, to_float_tflite
    from trainer.saved.head import choose_head, confirm_ending

    spec, mode = loaded.spec, request.mode
    if spec is None or spec.height_px is None or spec.width_px is None or mode is None:
        raise ValueError("an export needs a size and a mode")
    shape = (spec.height_px, spec.width_px, 1 if spec.color == "gray" else 3)
    ending = confirm_ending(last_operation(model, output, shape), random)
    head = choose_head(ending, random.shape[1:], told=request.kind, labels=request.classes)
    pictures = np.stack([prepare(read_picture(path), spec) for path in request.pictures])
    reference = _finish(as_arrays(_ask(model, pictures, mode))[output], head.added)
    np.save(request.folder / REFERENCE_FILE, reference, allow_pickle=False)
    content = to_float_tflite(model, output, head, mode, shape, request.folder / "program")
    (request.folder / TFLITE_FILE).write_bytes(content)
    return replace(loaded, kind=head.kind, added=head.added)


def _ask(model: LoadedModel, pictures: npt.NDArray[np.uint8], mode: PixelMode) -> dict[str, Any]:
    """The model's own answers, before any conversion; one by one where it takes no batches."""
    import tensorflow as tf

    from trainer.saved.pixels import scale

    step = _BATCH if model.inputs[0].shape[0] is None else 1
    answers = [
        model.call(tf.cast(scale(pictures[start : start + step], mode), model.inputs[0].dtype))
        for start in range(0, len(pictures), step)
    ]
    return {name: tf.concat([answer[name] for answer in answers], axis=0) for name in answers[0]}


def _finish(values: npt.NDArray[np.float32], added: str | None) -> npt.NDArray[np.float32]:
    """Apply the appended activation to answers, by numpy."""
    wide = values.astype(np.float64)
    if added == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-wide)), dtype=np.float32)
    if added == "softmax":
        powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)
    return values


if __name__ == "__main__":
    main(Path(sys.argv[1]))
