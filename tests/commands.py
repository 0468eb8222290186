"""Running the real commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

COMMANDS = Path(sys.executable).parent


def command(*arguments: object, timeout_s: float = 240, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``sightpost …`` or ``sightpost-train …`` as a person would, and capture what they say."""
    words = [str(COMMANDS / str(arguments[0])), *map(str, arguments[1:])]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout_s, **options)
