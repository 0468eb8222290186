"""What of a saved model could run code when it is loaded, judged by reading it.

Keras builds whatever a configuration names: a ``Lambda`` holds Python byte code (HDF5 files run it even in Keras' safe
mode, CVE-2025-9905), a ``module`` may name any Python module (CVE-2025-1550), a ``TFOpLambda`` any TensorFlow function.
So nothing is looked for that is known to be bad: all that is not known to be harmless is a danger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOTS = frozenset({"keras", "tf_keras", "builtins"})
_HARMLESS_NAMES = """
Sequential Functional Model
InputLayer Dense EinsumDense Activation Dropout SpatialDropout1D SpatialDropout2D AlphaDropout GaussianDropout
GaussianNoise Flatten Reshape Permute RepeatVector Identity Cropping2D ZeroPadding2D UpSampling2D Embedding Masking
ActivityRegularization Conv1D Conv2D Conv2DTranspose DepthwiseConv1D DepthwiseConv2D SeparableConv2D Convolution2D
MaxPooling1D MaxPooling2D AveragePooling1D AveragePooling2D GlobalMaxPooling1D GlobalMaxPooling2D
GlobalAveragePooling1D GlobalAveragePooling2D AdaptiveAveragePooling2D AdaptiveMaxPooling2D
BatchNormalization SyncBatchNormalization LayerNormalization GroupNormalization UnitNormalization
SpectralNormalization RMSNormalization Add Subtract Multiply Average Maximum Minimum Concatenate Dot
ReLU LeakyReLU PReLU ELU ThresholdedReLU Softmax Rescaling Resizing Normalization CenterCrop
RandomCrop RandomFlip RandomTranslation RandomRotation RandomZoom RandomContrast RandomBrightness RandomHeight
RandomWidth RandomSaturation RandomHue RandomShear RandomGrayscale RandomColorJitter RandomSharpness RandomErasing
RandomPosterization Solarization Equalization AutoContrast MultiHeadAttention Attention AdditiveAttention
LayerScale StochasticDepth
Zeros Ones Constant RandomNormal RandomUniform TruncatedNormal VarianceScaling Orthogonal GlorotNormal GlorotUniform
HeNormal HeUniform LecunNormal LecunUniform L1 L2 L1L2 OrthogonalRegularizer MaxNorm NonNeg UnitNorm MinMaxNorm
DTypePolicy Policy FloatDTypePolicy DTypePolicyMap SeedGenerator TensorShape
__keras_tensor__ __tensor__ __numpy__ __bytes__ __ellipsis__ __slice__
"""
_HARMLESS = frozenset(_HARMLESS_NAMES.split())
# Keras 3 keeps operators between layers as classes of these modules.
_OPERATION_MODULES = frozenset(
    f"{root}.ops.{name}" for root in ("keras", "keras.src") for name in ("numpy", "nn", "image", "math")
)
_ACTIVATION_MODULES = frozenset({"keras.activations", "keras.src.activations.activations"})
_TF_OPERATIONS = frozenset({"TFOpLambda", "SlicingOpLambda"})
_TF_HARMLESS_GROUPS = ("math.", "nn.", "compat.v1.nn.", "__operators__.", "keras.activations.")
_TF_HARMLESS_NAMES = """
add cast clip_by_value concat divide expand_dims identity image.resize image.per_image_standardization multiply pad
reduce_mean reshape reverse shape split squeeze stack stop_gradient strided_slice subtract tile transpose
compat.v1.shape compat.v1.transpose compat.v1.squeeze compat.v1.pad keras.backend.mean
"""
_TF_HARMLESS = frozenset(_TF_HARMLESS_NAMES.split())
_CODE = {
    "Lambda": "holds Python code",
    "__lambda__": "holds Python code",
    "TorchModuleWrapper": "holds a pickle",
    "TFSMLayer": "loads another SavedModel",
    "JaxLayer": "holds a program",
    "FlaxLayer": "holds a program",
    "TensorFlowOpLayer": "holds TensorFlow operations",
    "StringLookup": "may read files",
    "IntegerLookup": "may read files",
    "TextVectorization": "may read files",
}
# Operations by which a TensorFlow program reaches files or Python; their names stand in its file as they are.
_PROGRAM_OPERATIONS = (
    b"WriteFile", b"ReadFile", b"PyFunc", b"MatchingFiles", b"WholeFileReader", b"TextLineReader", b"TFRecordReader",
    b"FixedLengthRecordReader", b"TextLineDataset", b"RecordDataset", b"SqlDataset", b"LMDB", b"CacheDataset",
    b"SnapshotDataset", b"SaveDataset", b"LoadDataset", b"DataService", b"ImmutableConst", b"SaveSlices", b"PrintV2",
    b"InitializeTableFromTextFile", b"CreateSummaryFileWriter", b"CreateSummaryDbWriter", b"DebugIdentity",
    b"RemoteCall",
)  # fmt: skip


def dangers_in_config(config: dict[str, Any]) -> tuple[str, ...]:
    """What in a Keras configuration could run code, one phrase each; empty where all of it is known and harmless.

    The training settings of the whole model (its optimizer and losses, often somebody's own) are not looked at, because
    they are never loaded.
    """
    looked_at = {key: value for key, value in config.items() if key != "compile_config"}
    return tuple(dict.fromkeys(danger for part in _parts(looked_at) if (danger := _danger(part))))


def dangers_in_program(saved_model_pb: bytes) -> tuple[str, ...]:
    """What in a SavedModel's ``saved_model.pb`` reaches beyond arithmetic.

    An operation's name stands in the file as it is, so looking for its bytes finds it, wherever it hides.
    """
    found = [operation.decode() for operation in _PROGRAM_OPERATIONS if operation in saved_model_pb]
    return tuple(f"operation {name} reaches files or code outside the model" for name in found)


def _parts(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  JSON
    """Every object that names a class, at whatever depth; without recursion, which a hostile file could exhaust."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            if "class_name" in current:
                yield current
            waiting.extend(current.values())
        elif isinstance(current, list):
            waiting.extend(current)


def _danger(part: dict[str, Any]) -> str | None:
    """Why one object of a configuration is dangerous; ``None`` if it is known and harmless."""
    name, module, config = str(part["class_name"]), part.get("module"), part.get("config")
    title = f"{name} {config['name']!r}" if isinstance(config, dict) and isinstance(config.get("name"), str) else name
    if name in _CODE:
        return f"{title} {_CODE[name]}"
    if name in _TF_OPERATIONS:
        function = config.get("function") if isinstance(config, dict) else None
        return None if _is_harmless_function(str(function)) else f"{title} calls tf.{function}"
    foreign = _foreign_origin(part)
    if foreign:
        return f"{title} {foreign}"
    if name == "function" and module not in _ACTIVATION_MODULES:
        return f"calls the function {config!r}"
    known = name == "function" or name in _HARMLESS or (module in _OPERATION_MODULES and name.isidentifier())
    return None if known else f"{title} is no layer that Sightpost knows"


def _foreign_origin(part: dict[str, Any]) -> str | None:
    registered, module = part.get("registered_name"), part.get("module")
    if isinstance(registered, str) and ">" in registered:
        return f"is somebody's own class ({registered})"
    if module is not None and str(module).split(".")[0] not in _ROOTS:
        return f"comes from the Python module {module!r}"
    return None


def _is_harmless_function(name: str) -> bool:
    return name in _TF_HARMLESS or name.startswith(_TF_HARMLESS_GROUPS)
