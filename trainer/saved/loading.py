"""Loading a saved model, inside the child process: Keras 3 first, then tf-keras, which is the Keras 2 that goes on.

A SavedModel is a program that TensorFlow runs as it is; no Keras rebuilds it, so neither versions nor classes matter.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.saved.errors import SavedModelError
from trainer.saved.protocol import LayerRow, Port

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.saved.protocol import Inspection
    from trainer.saved.weights import Weight

_SUFFIXES = {"keras": ".keras", "hdf5": ".h5"}
REBUILD_ADVICE = (
    "load it where it was made and save it from there as a SavedModel, model.export('folder') or, in Keras 2, "
    "model.save('folder', save_format='tf'): that needs neither the same version nor your classes"
)
_REASON_CHARS = 200


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that answers, whichever library loaded it.

    Attributes:
        call: ``(n, H, W, C)`` scaled pictures to its outputs by name, as TensorFlow tensors.
        variables: to be kept with the graph.
        weights: their values, by name.
    """

    loader: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[LayerRow, ...]
    call: Callable[[Any], dict[str, Any]]
    variables: list[Any]
    weights: list[Weight]
    attempts: tuple[str, ...] = ()


def load(path: Path, inspection: Inspection, *, trust: bool) -> LoadedModel:
    """Load a saved model that has been found safe, or is trusted.

    Raises:
        SavedModelError: nothing installed here can load it; the message says what was tried and what to do.
    """
    if inspection.format == "savedmodel":
        return _load_program(path)
    attempts: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        # Both libraries go by the name's end, which need not tell what the file is.
        link = Path(folder) / f"model{_SUFFIXES[inspection.format]}"
        link.symlink_to(path.absolute())
        for library in ("keras", "tf_keras"):
            if not importlib.util.find_spec(library):
                attempts.append("tf-keras: not installed")
                continue
            try:
                return _load_with(library, link, tuple(attempts), trust=trust)
            except Exception as error:  # noqa: BLE001  whatever a foreign model raises, this library cannot load it
                attempts.append(f"{_version(library)}: {_reason(error)}")
    missing = any("not installed" in attempt for attempt in attempts)
    advice = f"{_legacy_advice()}; or {REBUILD_ADVICE}" if missing else REBUILD_ADVICE
    raise SavedModelError(
        f"{path}: saved by {inspection.saved_by}, cannot be loaded here ({'; '.join(attempts)}); {advice}"
    )


def _load_with(library: str, path: Path, attempts: tuple[str, ...], *, trust: bool) -> LoadedModel:
    if library == "keras":
        import keras

        model = keras.saving.load_model(path, compile=False, safe_mode=not trust)
    else:
        import tf_keras

        model = tf_keras.models.load_model(str(path), compile=False, safe_mode=not trust)
    if not getattr(model, "built", True) or not model.inputs:
        raise ValueError("the file does not say which input it takes; call it once on a picture, then save it again")
    # A Sequential of Keras 3 has no such list.
    names = list(getattr(model, "output_names", None) or [model.layers[-1].name])
    return LoadedModel(
        loader=_version(library),
        inputs=tuple(_port(tensor.name.split(":")[0], tensor) for tensor in model.inputs),
        outputs=tuple(_port(name, tensor) for name, tensor in zip(names, model.outputs, strict=True)),
        layers=tuple(_row(layer) for layer in model.layers),
        call=lambda pictures: _by_name(names, model(pictures, training=False)),
        variables=[_tf_variable(variable) for variable in model.variables],
        weights=[(_path_of(variable), np.asarray(variable)) for variable in model.weights],
        attempts=attempts,
    )


def _load_program(path: Path) -> LoadedModel:
    import tensorflow as tf

    try:
        program = tf.saved_model.load(str(path))
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, tf.errors.OpError) as error:
        raise SavedModelError(
            f"{path}: TensorFlow cannot load this SavedModel: {_reason(error)}; save it anew"
        ) from error
    signatures = dict(program.signatures)
    if not signatures:
        raise SavedModelError(f"{path}: this SavedModel has no signature to call; save it with model.export('folder')")
    signature = signatures.get("serving_default") or next(iter(signatures.values()))
    inputs = signature.structured_input_signature[1]
    variables = list(getattr(program, "variables", None) or signature.graph.variables)
    [first, *_] = inputs
    return LoadedModel(
        loader=f"TensorFlow {tf.__version__}",
        inputs=tuple(_port(name, spec) for name, spec in inputs.items()),
        outputs=tuple(_port(name, spec) for name, spec in signature.structured_outputs.items()),
        layers=tuple(LayerRow(v.name, "variable", str(tuple(v.shape)), int(np.prod(v.shape))) for v in variables),
        call=lambda pictures: dict(signature(**{first: pictures})),
        variables=[*variables, program],
        weights=[(variable.name, np.asarray(variable)) for variable in variables],
    )


def _legacy_advice() -> str:
    """tf-keras of one minor version goes with TensorFlow of the same, and must not bring a second TensorFlow along."""
    import tensorflow as tf

    minor = ".".join(tf.__version__.split(".")[:2])
    return (
        "install tf-keras, which loads what Keras 2 saved: it is the extra sightpost[legacy], or "
        f"pip install --no-deps 'tf-keras=={minor}.*'"
    )


def _by_name(names: list[str], outputs: Any) -> dict[str, Any]:  # noqa: ANN401  Keras has no types
    if isinstance(outputs, dict):
        return outputs
    return dict(zip(names, outputs if isinstance(outputs, (list, tuple)) else [outputs], strict=True))


def _port(name: str, tensor: Any) -> Port:  # noqa: ANN401  likewise
    shape = tuple(tensor.shape) if tensor.shape.__class__ is tuple else tuple(tensor.shape.as_list())
    dtype = getattr(tensor.dtype, "name", tensor.dtype)
    return Port(name, tuple(None if size is None else int(size) for size in shape), str(dtype))


def _row(layer: Any) -> LayerRow:  # noqa: ANN401  likewise
    shape = getattr(layer, "output_shape", None)
    if shape is None:
        try:
            shape = layer.output.shape
        except (AttributeError, ValueError):  # it has none, or several
            shape = ""
    return LayerRow(layer.name, type(layer).__name__, str(shape), int(layer.count_params()))


def _tf_variable(variable: Any) -> Any:  # noqa: ANN401  likewise
    """Keras 3 wraps TensorFlow's variables, in ``value``; a graph keeps the inner ones. Keras 2 uses them bare."""
    return variable if callable(variable.value) else variable.value


def _path_of(variable: Any) -> str:  # noqa: ANN401  likewise
    return str(getattr(variable, "path", variable.name))


def _version(library: str) -> str:
    return f"{'Keras' if library == 'keras' else 'tf-keras'} {importlib.metadata.version(library)}"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _REASON_CHARS else text[:_REASON_CHARS] + " …"
