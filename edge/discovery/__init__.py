"""How Home Assistant finds the device by itself: one retained message of MQTT discovery says all there is to see.

Everything here is a pure function of names, labels and of what was said before; the outbox keeps and sends the result.
"""

from edge.discovery.announcing import Surroundings, announcements
from edge.discovery.birth import Birth
from edge.discovery.retiring import retired
from edge.discovery.subject import Subject

__all__ = ["Birth", "Subject", "Surroundings", "announcements", "retired"]
