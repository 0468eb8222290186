"""A process that answers as fast as it can until it is killed: ``answering.py OUTBOX RUN PORT`` (port 0: no publisher).

It prints ``ready`` and then, whenever the outbox says that all is on the disk, the number of the last answer.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from delivery import TOPICS, change

from edge.config import MqttConfig, OutboxConfig
from edge.outbox import Outbox
from edge.publisher import Publisher


def main(path: Path, run: str, port: int) -> None:
    print("ready", flush=True)
    outbox = Outbox.open(path, OutboxConfig(commit_wait_s=0.001))
    if port:
        Publisher(outbox, MqttConfig(host="127.0.0.1", port=port), TOPICS).start()
    for number in itertools.count():
        outbox.put(*change(f"{run}:{number}", watch=("gate", "bay")[number % 2]))
        if number % 7 == 0:
            assert outbox.flush(10)
            print(number, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
