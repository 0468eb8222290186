"""What Home Assistant is to know of a watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.value import Value

if TYPE_CHECKING:
    from edge.model_card import Kind
    from edge.watch.watch import Watch


class Subject(Value, frozen=True):
    """A watch, as far as it matters to those who look at its answers.

    Attributes:
        name, camera: from the configuration.
        kind: of the answers; ``embed`` gives none.
        labels: what it may answer, beside ``unknown``; empty where that is not known beforehand.
        pictures: whether it publishes pictures.
    """

    name: str
    camera: str
    kind: Kind
    labels: tuple[str, ...]
    pictures: bool = False

    @classmethod
    def of(cls, watch: Watch, *, snapshots: bool) -> Subject:
        """A watch that has its model; the labels of one that is taught may change at any time.

        With ``snapshots``, any watch publishes a picture when it is told to.
        """
        labels = () if watch.config.kind == "teach" else watch.model.labels
        return cls(
            watch.name,
            watch.config.camera,
            "embed" if watch.embeds else watch.kind,
            labels,
            snapshots or watch.config.picture is not None,
        )
