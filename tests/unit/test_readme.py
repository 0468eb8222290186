"""The README's commands and configuration are what the program takes."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from edge.config import parse_config
from edge.strict import convert
from trainer.recipe import Recipe

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = [
    line.split("#")[0].strip()
    for kind, block in BLOCKS
    if kind == "bash"
    for line in block.splitlines()
    if line.startswith("sightpost")
]


def parser_of(program: str) -> argparse.ArgumentParser:
    import edge.cli
    import trainer.cli

    return trainer.cli.build_parser() if program == "sightpost-train" else edge.cli.build_parser()


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line: str) -> None:
    program, *words = shlex.split(line)
    parser_of(program).parse_args(words)


def test_there_are_commands_to_understand() -> None:
    assert len(COMMANDS) >= 6


def test_the_configuration_is_complete_and_right() -> None:
    [text] = [block for kind, block in BLOCKS if kind == "toml" and "[device]" in block]
    config = parse_config(tomllib.loads(text), where="README", base=Path("/"))
    assert config.watches["gate"].min_score == 0.6


def test_the_recipe_is_right() -> None:
    [text] = [block for kind, block in BLOCKS if kind == "toml" and "[backbone]" in block]
    assert convert(tomllib.loads(text), Recipe, path="", where="README") == Recipe()


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if "://" not in link and not (README.parent / link).exists()] == []
