"""The durable queue between inference and the network."""

from edge.outbox.outbox import Outbox

__all__ = ["Outbox"]
