"""``[head]`` of the recipe: what follows the backbone, a list of named blocks of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

if TYPE_CHECKING:
    from edge.model_card import Kind

Fraction = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Name = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]*$", max_length=40)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the recipe: unknown keys are refused."""


class Block(Table, frozen=True, kw_only=True, tag_field="kind"):
    """A block of the head; ``name`` makes its parameters reachable, e.g. ``head.hidden.units``."""

    name: Name = ""


class FirstBlock(Block, frozen=True, kw_only=True):
    """A block that makes a vector of the backbone's map."""


class Flatten(FirstBlock, frozen=True, kw_only=True, tag="flatten"):
    """The map as one long vector."""


class AveragePool(FirstBlock, frozen=True, kw_only=True, tag="average_pool"):
    """The mean over all places of the map."""


class MaxPool(FirstBlock, frozen=True, kw_only=True, tag="max_pool"):
    """The largest over all places of the map."""


class Dense(Block, frozen=True, kw_only=True, tag="dense"):
    """A hidden layer."""

    units: Annotated[int, msgspec.Meta(ge=1, le=65536)]
    activation: Literal["relu", "relu6", "tanh", "linear"] = "relu"


class BatchNorm(Block, frozen=True, kw_only=True, tag="batch_norm"):
    """Batch normalization."""

    momentum: Fraction = 0.99


class Dropout(Block, frozen=True, kw_only=True, tag="dropout"):
    """In training alone, this fraction of the values is left out at random."""

    rate: Fraction = 0.5


class Softmax(Block, frozen=True, kw_only=True, tag="softmax"):
    """The answer: one score per class, together 1."""


class Sigmoid(Block, frozen=True, kw_only=True, tag="sigmoid"):
    """The answer: a score for yes (``binary``), or one for each class by itself (``multilabel``)."""


AnyBlock = Flatten | AveragePool | MaxPool | Dense | BatchNorm | Dropout | Softmax | Sigmoid
_KINDS: dict[type[Block], str] = {
    Flatten: "flatten", AveragePool: "average_pool", MaxPool: "max_pool", Dense: "dense", BatchNorm: "batch_norm",
    Dropout: "dropout", Softmax: "softmax", Sigmoid: "sigmoid",
}  # fmt: skip


class HeadRecipe(Table, frozen=True, kw_only=True):
    """``[head]``: without ``blocks``, average pooling, a little dropout and the answer."""

    blocks: tuple[AnyBlock, ...] = ()

    def __post_init__(self) -> None:
        """Blocks without a name are called by their kind, numbered from the second on."""
        taken = {block.name for block in self.blocks if block.name}
        named: list[AnyBlock] = []
        for block in self.blocks:
            name = block.name or _free(_KINDS[type(block)], taken)
            taken.add(name)
            named.append(block if block.name else msgspec.structs.replace(block, name=name))
        msgspec.structs.force_setattr(self, "blocks", tuple(named))

    def check(self, kind: Kind) -> None:
        """Refuse blocks that cannot follow each other.

        Raises:
            ValueError: which block, and what to do; msgspec turns it into its own error, with the place.
        """
        names = [block.name for block in self.blocks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"head.blocks: two blocks are called {name!r}; give each its own name")
        is_first = [isinstance(block, FirstBlock) for block in self.blocks]
        if not is_first[0]:
            raise ValueError("head.blocks: must begin with average_pool, max_pool or flatten")
        if kind == "embed":
            if len(self.blocks) > 1:
                raise ValueError("head.blocks: a model of kind 'embed' ends with its pooling; remove the other blocks")
            return
        answer = "softmax" if kind == "classify" else "sigmoid"
        kinds = [_KINDS[type(block)] for block in self.blocks]
        if kinds[-1] != answer:
            raise ValueError(f"head.blocks: a model of kind {kind!r} must end with {answer}")
        for block, block_kind, is_pooling in zip(self.blocks[1:-1], kinds[1:-1], is_first[1:-1], strict=True):
            if is_pooling or block_kind in {"softmax", "sigmoid"}:
                raise ValueError(f"head.blocks: {block.name}: {block_kind} cannot stand in the middle")


def default_blocks(kind: Kind) -> tuple[AnyBlock, ...]:
    """The head of a recipe that does not say: enough for features that were learnt on a million pictures."""
    pool = AveragePool(name="pool")
    if kind == "embed":
        return (pool,)
    return (pool, Dropout(name="dropout", rate=0.2), (Softmax if kind == "classify" else Sigmoid)(name="scores"))


def _free(name: str, taken: set[str]) -> str:
    number = 2
    candidate = name
    while candidate in taken:
        candidate = f"{name}_{number}"
        number += 1
    return candidate
