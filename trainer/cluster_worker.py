"""One of the processes that train together, with Keras on JAX; ``trainer.cluster`` starts it, a person never does."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import keras
import msgspec
import numpy as np

from edge.errors import SightpostError, one_line
from trainer.cluster import Job, Report, leave_result
from trainer.errors import ClusterError
from trainer.progress import Step, Steps
from trainer.split import Split
from trainer.team import Team
from trainer.training import train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEETING_TIMEOUT_S = 300
SILENCE_TIMEOUT_S = 60
_FAREWELL_TIMEOUT_S = 3600
_PR_SET_PDEATHSIG = 1
_LOST = re.compile("gloo|nccl|coordination|heartbeat|barrier|peer|deadline_exceeded|unavailable", re.IGNORECASE)
"""What JAX says when it cannot reach the others."""


def main(order: Path) -> int:
    """Do the job that lies at a path, and report about it; the exit code."""
    _die_with_parent()
    job = msgspec.json.decode(order.read_bytes(), type=Job)
    with os.fdopen(job.report_to, "wb", buffering=0) as pipe:

        def say(report: Report) -> None:
            pipe.write(msgspec.json.encode(report) + b"\n")

        try:
            say(_train(job, say))
        except SightpostError as error:
            say(Report(problem=str(error)))
            return error.exit_code
        except (ValueError, RuntimeError) as error:
            if not _LOST.search(str(error)):
                raise
            traceback.print_exc()
            say(Report(problem="lost another process; what that one says tells why. The same commands go on from here"))
            return ClusterError.exit_code
    return 0


def _train(job: Job, say: Callable[[Report], None]) -> Report:
    steps = ReportedSteps(say)
    with steps.step("meet the others") as step:
        _meet(job)
        step.outcome = f"process {job.rank} of {job.count}"
    parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
    team = Team(job.rank, job.count, jax.device_count(), parallel.scope)
    common = np.frombuffer(job.common, np.uint8)
    if (team.first([common])[0] != common).any():
        raise ClusterError("was given other pictures or another recipe than process 0; give all of them the same")
    trained = train(
        job.data,
        Split(*job.parts),
        job.recipe.input_spec,
        job.recipe,
        steps=steps,
        workdir=Path(job.workdir),
        team=team,
        on_epoch=lambda record: say(Report(record=record)),
    )
    if job.rank == 0:
        leave_result(job, trained)
    jax.distributed.shutdown()  # waits for the others
    return Report(stage=trained.stage, augment=trained.augment)


def _meet(job: Job) -> None:
    try:
        jax.distributed.initialize(
            job.address,
            job.count,
            job.rank,
            coordinator_bind_address=job.address,
            initialization_timeout=MEETING_TIMEOUT_S,
            heartbeat_timeout_seconds=SILENCE_TIMEOUT_S,
            shutdown_timeout_seconds=_FAREWELL_TIMEOUT_S,
        )
    except (ValueError, RuntimeError) as error:
        raise ClusterError(
            f"the processes did not meet within {MEETING_TIMEOUT_S} s: {one_line(str(error))}"
        ) from error


class ReportedSteps(Steps):
    """Steps that are shown by the process that reads the reports."""

    def __init__(self, say: Callable[[Report], None]) -> None:
        super().__init__()
        self._say = say

    @contextlib.contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[Step]:
        """Run one step."""
        self._say(Report(begins=name, total=total))
        step = Step(lambda: self._say(Report(advanced=True)))
        yield step
        self._say(Report(ends=True, outcome=step.outcome))

    def note(self, text: str) -> None:
        """A line between two steps."""
        self._say(Report(note=text))


def _die_with_parent() -> None:
    """Whoever ends the command, even by kill -9, means this process; and a crash leaves no gigabytes behind."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    code = 1
    try:
        code = main(Path(sys.argv[1]))
    except BaseException:  # noqa: BLE001  the top: nothing may reach the end of the interpreter
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)  # at its end JAX would wait for processes that will never come
