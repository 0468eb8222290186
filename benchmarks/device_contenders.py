"""One contender of ``benchmarks/device.py`` in a process of its own; its last line has its figures, in JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UP_S = 2.0
TICKS_HZ = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the contender that is named first."""
    name, model, labels, clip, port, seconds = sys.argv[1:]
    if name.startswith("limit"):
        bare(model, int(name.removeprefix("limit") or 1), float(seconds))
    elif name.startswith("sightpost"):
        daemon(model, labels, clip, int(port), int(name.removeprefix("sightpost") or 1), float(seconds))
    elif name == "naive":
        naive(model, clip, int(port), float(seconds))
    else:
        mediapipe(model, clip, int(port), float(seconds))


def bare(model: str, interpreters: int, seconds: float) -> None:
    """Invoke and nothing else, in as many threads as there are interpreters."""
    counts = [0] * interpreters
    stopping = threading.Event()

    def loop(number: int) -> None:
        interpreter = _interpreter(model)
        while not stopping.is_set():
            interpreter.invoke()
            counts[number] += 1

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(interpreters)]
    for thread in threads:
        thread.start()
    _measure(lambda: sum(counts), [os.getpid()], seconds)
    stopping.set()


def daemon(model: str, labels: str, clip: str, port: int, workers: int, seconds: float) -> None:
    """``sightpost run``, counted where its answers arrive."""
    counts = [0]
    subscriber = _client()
    subscriber.on_message = lambda *_: counts.__setitem__(0, counts[0] + 1)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "edge.toml"
        config.write_text(
            f'[device]\nid = "bench"\nstate_dir = "state"\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n'
            f'[cameras.clip]\nsource = "{clip}"\npace = "fast"\nloop = true\n'
            f'[models.model]\nfile = "{model}"\nlabels = "{labels}"\nworkers = {workers}\n'
            '[watches.all]\ncamera = "clip"\nmodel = "model"\ninterval_s = 0\nanswers = true\n'
        )
        subscriber.connect("127.0.0.1", port)
        subscriber.subscribe("sightpost/bench/all/answer", qos=0)
        subscriber.loop_start()
        command = [str(Path(sys.executable).with_name("sightpost")), "run", "--config", str(config)]
        process = subprocess.Popen([*command, "--log-level", "warning"])
        try:
            while not counts[0] and process.poll() is None:
                time.sleep(0.02)
            _measure(lambda: counts[0], _family(process.pid), seconds)
        finally:
            process.terminate()
            process.wait(30)


def naive(model: str, clip: str, port: int, seconds: float) -> None:
    """Read, resize, invoke, publish and wait: the loop that tutorials show."""
    import cv2

    interpreter = _interpreter(model)
    side = int(interpreter.get_input_details()[0]["shape"][1])
    index = interpreter.get_input_details()[0]["index"]
    output = interpreter.get_output_details()[0]["index"]
    client = _client()
    client.connect("127.0.0.1", port)
    client.loop_start()
    counts = [0]
    capture = cv2.VideoCapture(clip)

    def step() -> None:
        nonlocal capture
        read, frame = capture.read()
        if not read:
            capture = cv2.VideoCapture(clip)
            return
        picture = cv2.cvtColor(cv2.resize(frame, (side, side)), cv2.COLOR_BGR2RGB)
        interpreter.set_tensor(index, picture[None])
        interpreter.invoke()
        scores = interpreter.get_tensor(output)[0]
        client.publish("naive/answer", json.dumps({"label": int(scores.argmax())}), qos=1).wait_for_publish()
        counts[0] += 1

    _loop(step, lambda: counts[0], seconds)


def mediapipe(model: str, clip: str, port: int, seconds: float) -> None:
    """MediaPipe's ImageClassifier on the same frames, published without waiting."""
    import cv2
    import mediapipe as mp

    classifier = mp.tasks.vision.ImageClassifier.create_from_model_path(model)
    client = _client()
    client.connect("127.0.0.1", port)
    client.loop_start()
    counts = [0]
    capture = cv2.VideoCapture(clip)

    def step() -> None:
        nonlocal capture
        read, frame = capture.read()
        if not read:
            capture = cv2.VideoCapture(clip)
            return
        picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        best = classifier.classify(picture).classifications[0].categories[0]
        client.publish("mediapipe/answer", json.dumps({"label": best.index}), qos=1)
        counts[0] += 1

    _loop(step, lambda: counts[0], seconds)


def _loop(step: Callable[[], None], count: Callable[[], int], seconds: float) -> None:
    """Take steps in a thread while the figures are taken."""
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            step()

    thread = threading.Thread(target=run)
    thread.start()
    _measure(count, [os.getpid()], seconds)
    stopping.set()
    thread.join()


def _measure(count: Callable[[], int], pids: list[int], seconds: float) -> None:
    """Let everything get going, then count for so long, and print the figures."""
    time.sleep(WARM_UP_S)
    began_s, before, cpu_before_s = time.perf_counter(), count(), _cpu_s(pids)
    time.sleep(seconds)
    elapsed_s, answers, cpu_s = time.perf_counter() - began_s, count() - before, _cpu_s(pids) - cpu_before_s
    figures = {
        "rate_hz": answers / elapsed_s,
        "cpu_ms": cpu_s * 1000 / max(answers, 1),
        "memory_mb": sum(map(_pss_mb, pids)),
    }
    print(json.dumps(figures), flush=True)


def _interpreter(model: str) -> Any:  # noqa: ANN401  it has no types
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def _client() -> mqtt.Client:
    return mqtt.Client(CallbackAPIVersion.VERSION2)


def _family(pid: int) -> list[int]:
    """A process and all that came of it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def _cpu_s(pids: list[int]) -> float:
    """Processor seconds, user and system, as proc(5) has them."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS_HZ


def _pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
