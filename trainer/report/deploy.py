"""How to bring the file to a device, with its real name in every command."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.report.wording import clean

if TYPE_CHECKING:
    from pathlib import Path

    from edge.model_card import ModelCard

_CONFIG = "/etc/sightpost/edge.toml"


@dataclass(frozen=True, slots=True)
class DeployStep:
    """What to do, and the text to type or paste."""

    what: str
    text: str


def deployment(file: Path, card: ModelCard) -> list[DeployStep]:
    """From this computer to a service that answers."""
    name = clean(file.name)
    key = re.sub(r"[^A-Za-z0-9_-]+", "-", file.stem).strip("-") or "model"
    foreign = [] if card.golden or card.provenance else _foreign_lines(card)
    configuration = [
        f"[models.{key}]",
        f"file = {json.dumps(f'models/{name}', ensure_ascii=False)}",
        *foreign,
        "",
        f"[watches.{key}]",
        'camera = "CAMERA"    # the name of a camera in the same file',
        f'model = "{key}"',
    ]
    return [
        DeployStep(
            "Ask it about one picture, here", f"sightpost classify PICTURE --model {shlex.quote(clean(str(file)))}"
        ),
        DeployStep("Copy it to the device", f"scp {shlex.quote(clean(str(file)))} DEVICE:"),
        DeployStep("On the device, put it in its place", f"sudo cp {shlex.quote(name)} /etc/sightpost/models/"),
        DeployStep(f"Name it in {_CONFIG}", "\n".join(configuration)),
        DeployStep(
            "Try it there, and start",
            f"sudo -u sightpost sightpost check --config {_CONFIG}\nsudo systemctl restart sightpost",
        ),
    ]


def _foreign_lines(card: ModelCard) -> list[str]:
    spec = card.input
    settings = {"color": spec.color, "resize": spec.resize, "kernel": spec.kernel, "scaling": spec.scaling}
    pairs = ", ".join(f"{key} = {json.dumps(value)}" for key, value in settings.items() if value)
    return ['labels = "models/LABELS.txt"    # one label a line, unless the file names them', f"input = {{ {pairs} }}"]
