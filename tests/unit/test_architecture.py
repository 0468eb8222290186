from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

WORKSTATION = ("trainer", "tensorflow", "keras", "ai_edge_quantizer", "amqtt", "pytest", "models")
"""What a device does not have."""
MAX_LINES = 400

IMPORT_ALL = """
import importlib, json, pkgutil, sys
absent = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(absent))  # None makes an import fail
import edge
names = [found.name for found in pkgutil.walk_packages(edge.__path__, "edge.")]
names = [name for name in names if not name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
loaded = {name.split(".")[0] for name, module in sys.modules.items() if module is not None}
print(json.dumps([names, sorted(loaded)]))
"""
LOADED_BY = "import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"


def run(repository: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_of_the_device_can_be_imported_without_the_workstation(repository: Path) -> None:
    import json

    names, loaded = json.loads(run(repository, IMPORT_ALL, json.dumps(WORKSTATION)))
    assert {"edge.model", "edge.config", "edge.preprocess", "edge.camera"} <= set(names)
    assert not set(WORKSTATION) & set(loaded)


@pytest.mark.parametrize("module", ["edge.model", "edge.config", "edge.cli", "edge.model_file"])
def test_nothing_of_the_workstation_is_loaded_although_it_is_installed(repository: Path, module: str) -> None:
    assert not set(WORKSTATION) & set(run(repository, LOADED_BY.format(module=module)).split())


@pytest.mark.parametrize("module", ["edge.errors", "edge.config", "edge.cli"])
def test_a_wrong_command_line_or_configuration_is_answered_without_loading_libraries(
    repository: Path, module: str
) -> None:
    loaded = set(run(repository, LOADED_BY.format(module=module)).split())
    assert not {"cv2", "numpy", "ai_edge_litert", "tflite_runtime", "paho"} & loaded


def test_the_interpreter_is_loaded_only_when_a_model_is(repository: Path) -> None:
    loaded = set(run(repository, LOADED_BY.format(module="edge.model")).split())
    assert not {"ai_edge_litert", "tflite_runtime"} & loaded


def test_no_file_has_outgrown_its_job(repository: Path) -> None:
    files = [path for folder in ("edge", "trainer") for path in (repository / folder).rglob("*.py")]
    assert len(files) > 20
    lengths = {str(path.relative_to(repository)): len(path.read_text().splitlines()) for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}
