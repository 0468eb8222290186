"""What can go wrong with somebody's saved model; exit codes as in ``edge.errors``."""

from __future__ import annotations

from edge.errors import SightpostError


class SavedModelError(SightpostError):
    """The saved model cannot be read, loaded or made into a picture model."""

    exit_code = 65


class UntrustedModelError(SightpostError):
    """Loading it could run code that is inside it, and nobody said that its maker is trusted."""

    exit_code = 77
