"""The broker of the demonstration: amqtt, in a process of its own, for this machine alone."""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings


async def serve(port: int) -> None:
    """Accept connections on the loopback interface until killed."""
    from amqtt.broker import Broker

    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    await Broker(config).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    asyncio.run(serve(int(sys.argv[1])))
