"""Being told what to do over MQTT: what may be asked, by whom it is answered, and how."""

from edge.commands.desk import Desk
from edge.commands.requests import Handler, Request, Result

__all__ = ["Desk", "Handler", "Request", "Result"]
