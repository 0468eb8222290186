"""Sparkplug B, as SCADA systems speak it: the dialect, and its payload."""

from edge.sparkplug.counter import ConnectionCounter
from edge.sparkplug.node import Node

__all__ = ["ConnectionCounter", "Node"]
