"""The recipe: all of what makes a model, in one TOML file; stored in the card, it gives the same weights again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from edge.model_card import InputSpec, Kind
from edge.strict import convert, read_toml
from trainer.head_recipe import FirstBlock, HeadRecipe, Table, default_blocks

if TYPE_CHECKING:
    from pathlib import Path

Fraction = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Part = Annotated[float, msgspec.Meta(ge=0, le=0.45)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=10)]
Decay = Annotated[float, msgspec.Meta(ge=0, le=1)]


class SplitRecipe(Table, frozen=True, kw_only=True):
    """``[split]``: the fractions of the pictures that decide during training, and that judge once at its end."""

    validation: Part = 0.1
    test: Part = 0.1


class BackboneRecipe(Table, frozen=True, kw_only=True):
    """``[backbone]``: a model of ``keras.applications`` without its top.

    ``weights`` is ``imagenet``, ``none``, or a file or folder of weights.
    """

    name: str = "mobilenetv2"
    alpha: Annotated[float, msgspec.Meta(gt=0, le=2)] | None = 0.35
    size_px: Annotated[int, msgspec.Meta(ge=32, le=1024)] = 224
    weights: str = "imagenet"


class InputRecipe(Table, frozen=True, kw_only=True):
    """``[input]``: how a picture is brought to the backbone's size."""

    resize: Literal["stretch", "crop", "letterbox"] = "stretch"
    kernel: Literal["halving", "area", "linear"] = "halving"


class AugmentRecipe(Table, frozen=True, kw_only=True):
    """``[augment]``: changed copies of each training picture.

    ``framing`` says how the pictures came about: ``fixed`` is one camera that never moves, whose pictures are only
    nudged; ``free`` are photographs of things, which may also be mirrored, cropped and turned; ``auto`` looks at the
    pictures. ``flip`` (mirror left and right), ``crop`` (the smallest part of the area that is kept) and ``turn_deg``
    (by how many degrees at most, either way) go before it.

    ``views`` is the number of copies whose features are cached; fine-tuning makes new ones in every epoch. ``light``
    and ``color`` are the largest relative changes, ``shift`` the largest crop at an edge as a fraction of the size,
    ``noise`` the standard deviation in grey levels and ``blur`` that of a Gaussian in pixels, both at most.
    """

    framing: Literal["auto", "fixed", "free"] = "auto"
    views: Annotated[int, msgspec.Meta(ge=0, le=64)] = 1
    light: Fraction = 0.25
    color: Fraction = 0.06
    shift: Annotated[float, msgspec.Meta(ge=0, le=0.4)] = 0.06
    noise: Annotated[float, msgspec.Meta(ge=0, le=50)] = 4.0
    blur: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.7
    flip: bool | None = None
    crop: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    turn_deg: Annotated[float, msgspec.Meta(ge=0, le=180)] | None = None


class TrainRecipe(Table, frozen=True, kw_only=True):
    """``[train]``: the head, on cached features; and what holds for all of the training.

    ``effort`` ``quick`` trains the head alone; ``full`` goes on to fine-tune the backbone and keeps that if the
    validation pictures say that it is better. ``balance`` makes rare classes count: by ``weights`` in the loss, by
    ``sampling`` them more often, or not. ``patience`` is the number of epochs without an improvement that ends it, 0
    for never. ``mixed_precision`` takes effect on a GPU alone.
    """

    effort: Literal["quick", "full"] = "full"
    epochs: Count = 40
    batch_size: Count = 128
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: Rate = 2e-3
    weight_decay: Decay = 1.0
    schedule: Literal["cosine", "constant"] = "cosine"
    label_smoothing: Fraction = 0.0
    balance: Literal["weights", "sampling", "none"] = "weights"
    patience: Annotated[int, msgspec.Meta(ge=0)] = 0
    mixed_precision: bool = True


class FinetuneRecipe(Table, frozen=True, kw_only=True):
    """``[finetune]``: the last ``blocks`` blocks of the backbone, or ``all``, train on with the head; 0 for none.

    Batch normalization keeps its statistics. The rate rises during the first ``warmup`` of the steps and falls by a
    cosine. ``averaging`` is the decay per epoch of the moving average of the weights that is kept. ``train_size`` is
    the side of the pictures in training as a fraction of ``backbone.size_px``: random crops show things larger than
    they are, smaller pictures undo that (Touvron et al. 2019) and train faster. ``early_size`` is the same for the
    first half of the epochs, when coarse pictures teach as much in half the time (Tan and Le 2021). ``mixup`` blends
    pairs of pictures.
    Without pretrained weights this stage trains everything from nothing, batch normalization included; that wants a
    higher rate, such as 2e-3.
    """

    blocks: Annotated[int, msgspec.Meta(ge=0)] | Literal["all"] = "all"
    epochs: Count = 32
    batch_size: Count = 32
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: Rate = 5e-4
    weight_decay: Decay = 0.01
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Fraction = 0.1
    label_smoothing: Fraction = 0.1
    mixup: Annotated[float, msgspec.Meta(ge=0, le=4)] = 0.2
    averaging: Fraction = 0.6
    early_size: Annotated[float, msgspec.Meta(gt=0.3, le=1)] = 0.57
    train_size: Annotated[float, msgspec.Meta(gt=0.3, le=1)] = 0.86
    patience: Annotated[int, msgspec.Meta(ge=0)] = 0


class QuantizeRecipe(Table, frozen=True, kw_only=True):
    """``[quantize]``: how many training pictures calibrate the ranges, and how far int8 may fall below float.

    ``ladder`` says what is tried, in this order, when it falls further; see ``trainer.ladder``.
    """

    calibration_pictures: Annotated[int, msgspec.Meta(ge=8, le=5000)] = 100
    tolerance: Fraction = 0.01
    ladder: tuple[Literal["int8", "more_pictures", "float_layers", "int16", "float16"], ...] = (
        "int8", "more_pictures", "float_layers", "float16",
    )  # fmt: skip


class UnknownRecipe(Table, frozen=True, kw_only=True):
    """``[unknown]``: the rule by which a model says that a picture shows none of its classes.

    ``method`` ``auto`` picks by measurement, ``none`` leaves the rule out. ``rejected`` is the share of known
    validation pictures that it may call unknown.
    """

    method: Literal["auto", "none", "centers", "max_score"] = "auto"
    rejected: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.05


class Recipe(Table, frozen=True, kw_only=True):
    """The whole recipe; every key has a default that suits most folders of pictures.

    ``kind`` is the question: ``classify`` (one of several), ``binary`` (yes or no), ``multilabel`` (any number of
    several) or ``embed`` (no answer but the features). ``tune`` says what ``sightpost-train tune`` may vary (see
    ``trainer.search_space``); ``fit`` does not look at it.
    """

    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 1
    kind: Kind = "classify"
    split: SplitRecipe = SplitRecipe()
    backbone: BackboneRecipe = BackboneRecipe()
    input: InputRecipe = InputRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    head: HeadRecipe = HeadRecipe()
    train: TrainRecipe = TrainRecipe()
    finetune: FinetuneRecipe = FinetuneRecipe()
    quantize: QuantizeRecipe = QuantizeRecipe()
    unknown: UnknownRecipe = UnknownRecipe()
    tune: dict[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """The blocks of the head must fit the kind."""
        if not self.head.blocks:
            msgspec.structs.force_setattr(self, "head", HeadRecipe(blocks=default_blocks(self.kind)))
        self.head.check(self.kind)

    @property
    def pooling(self) -> FirstBlock:
        """The block that makes a vector of the backbone's map."""
        first = self.head.blocks[0]
        assert isinstance(first, FirstBlock)  # noqa: S101  check() has seen to it; this tells the type checker
        return first

    @property
    def input_spec(self) -> InputSpec:
        """How a picture becomes the input of the model that this recipe makes."""
        side, resize, kernel = self.backbone.size_px, self.input.resize, self.input.kernel
        return InputSpec(height_px=side, width_px=side, color="rgb", resize=resize, kernel=kernel, scaling="raw")

    @property
    def from_scratch(self) -> bool:
        """Whether the backbone knows nothing yet, and is to learn all of it here."""
        untrained = self.backbone.weights == "none"
        return untrained and self.train.effort == "full" and self.finetune.blocks == "all" and self.kind != "embed"


def load_recipe(path: Path) -> Recipe:
    """Read a recipe file strictly.

    Raises:
        ConfigError: it cannot be read, or a key is unknown, of a wrong type or value.
    """
    return convert(read_toml(path, what="recipe"), Recipe, path="", where=str(path))
