"""What every command line of Sightpost shares: parsing, and errors as one line with their exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from edge.errors import SightpostError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def run_command(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Parse the arguments and run the sub-command's ``run``; the exit code.

    What an operator can act on is printed as one line on standard error; anything else is a bug, shown whole.
    """
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except SightpostError as error:
        message = " ".join(str(error).split("\n"))
        print(f"{parser.prog}: {message}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has left; Python would complain once more when it flushes at exit.
        sys.stderr.close()
        return 0
