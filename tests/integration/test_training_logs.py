"""Logs for TensorBoard, and computing in half precision."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import UsageError
from trainer.checkpoint import Checkpoint, EpochRecord
from trainer.data import scan
from trainer.parameters import with_parameters
from trainer.recipe import AugmentRecipe, Recipe
from trainer.split import Split
from trainer.tensorboard import tensorboard_log

pytest.importorskip("keras")

pytestmark = pytest.mark.timeout(900)  # Keras traces graphs for minutes where processors are shared


def test_tensorboard_reads_every_epoch_of_every_stage(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    log = tensorboard_log(tmp_path)
    log(EpochRecord("head", 1, 0.5, 0.6, 0.7, 1.0))
    log(EpochRecord("head", 2, 0.4, 0.5, 0.8, 1.0))
    log(EpochRecord("finetune", 1, 0.25, 0.35, 0.9, 9.0))
    found = {}
    for stage in ("head", "finetune"):
        events = EventAccumulator(str(tmp_path / stage), size_guidance={TENSORS: 0}).Reload()
        assert set(events.Tags()["tensors"]) == {"loss", "val_loss", "val_accuracy", "seconds"}
        found[stage] = [(event.step, float(make_ndarray(event.tensor_proto))) for event in events.Tensors("val_loss")]
    assert found == {"head": [(1, pytest.approx(0.6)), (2, pytest.approx(0.5))], "finetune": [(1, pytest.approx(0.35))]}


def test_tensorboard_is_asked_for_by_name_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"pip install 'sightpost\[tensorboard\]'"):
        tensorboard_log(tmp_path)


def test_half_precision_trains_to_a_model_in_full_precision(tmp_path: Path) -> None:
    from trainer.finetune import Task, finetune
    from trainer.network import assemble, build_network
    from trainer.views import Pictures

    rng = np.random.default_rng(0)
    for name, channel in (("blue", 0), ("red", 2)):
        (tmp_path / "colors" / name).mkdir(parents=True)
        for number in range(6):
            image = rng.integers(0, 90, (40, 40, 3), np.uint8)
            image[..., channel] += 150
            (tmp_path / "colors" / name / f"{number}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    settings = {
        "backbone.name": "mobilenet",
        "backbone.alpha": 0.25,
        "backbone.size_px": 32,
        "backbone.weights": "none",
        "finetune.blocks": 1,
        "finetune.epochs": 1,
        "finetune.batch_size": 4,
    }
    recipe = with_parameters(Recipe(), settings)
    data = scan(tmp_path / "colors")
    parts = Split(tuple(range(2, 10)), (0, 1, 10, 11), ())
    network = build_network(recipe, 2)
    before = network.backbone.get_weights()
    task = Task(network, data, parts, Pictures(data, recipe.input_spec), recipe, AugmentRecipe())
    (record,) = finetune(task, Checkpoint(tmp_path / "finetune.npz", ""), mixed_precision=True)
    assert np.isfinite([record.loss, record.val_loss]).all()
    assert any((old != new).any() for old, new in zip(before, network.backbone.get_weights(), strict=True))
    model = assemble(network, 1.0)
    assert {str(variable.dtype) for variable in model.variables} == {"float32"}
    assert {layer.compute_dtype for layer in network.backbone.layers} == {"float32"}
    assert {str(output.dtype) for output in model.outputs} == {"float32"}
