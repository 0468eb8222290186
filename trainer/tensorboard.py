"""The history for TensorBoard, where its package is installed."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from edge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trainer.checkpoint import EpochRecord


def tensorboard_log(folder: Path) -> Callable[[EpochRecord], None]:
    """What writes each record as it comes, one run per stage of the training.

    Raises:
        UsageError: TensorBoard is not installed.
    """
    if not importlib.util.find_spec("tensorboard"):
        raise UsageError(
            "--tensorboard: TensorBoard is not installed here; install it with: pip install 'sightpost[tensorboard]'"
        )
    import tensorflow as tf

    writers: dict[str, tf.summary.SummaryWriter] = {}

    def write(record: EpochRecord) -> None:
        if record.stage not in writers:
            writers[record.stage] = tf.summary.create_file_writer(str(folder / record.stage))
        with writers[record.stage].as_default(step=record.epoch):
            for name in ("loss", "val_loss", "val_accuracy", "seconds"):
                tf.summary.scalar(name, getattr(record, name))
        writers[record.stage].flush()

    return write
