"""From the outbox to the MQTT broker."""

from edge.publisher.connector import probe_broker
from edge.publisher.publisher import Publisher

__all__ = ["Publisher", "probe_broker"]
