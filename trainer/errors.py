"""What can go wrong on the workstation; exit codes as in ``edge.errors``."""

from __future__ import annotations

from edge.errors import SightpostError


class DataError(SightpostError):
    """The folder of pictures cannot be trained on as it is."""

    exit_code = 65


class WeightsError(SightpostError):
    """The pretrained weights are missing or do not fit the backbone."""

    exit_code = 66


class ProofError(SightpostError):
    """The quantized file does not do what the float model did; nothing was written."""

    exit_code = 70


class ClusterError(SightpostError):
    """One of several processes that train together has failed, or cannot be reached."""

    exit_code = 69
