"""One contender of ``benchmarks/device.py`` in a process of its own; its last line has its figures, in JSON."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from processes import cpu_s, family, memory_mb, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WARM_UP_S = 2.0


def main() -> None:
    """Run the contender that is named first."""
    name, model, labels, clip, port, seconds = sys.argv[1:]
    if name.startswith("limit"):
        bare(model, int(name.removeprefix("limit") or 1), float(seconds))
    elif name.startswith("sightpost"):
        daemon(model, labels, clip, int(port), int(name.removeprefix("sightpost") or 1), float(seconds))
    elif name == "naive":
        naive(model, clip, int(port), float(seconds))
    elif name == "plain":
        plain(model, clip, int(port), float(seconds))
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
    tables = (
        f'[cameras.clip]\nsource = "{clip}"\npace = "fast"\nloop = true\n'
        f'[models.model]\nfile = "{model}"\nlabels = "{labels}"\nthreads = 1\nworkers = {workers}\n'
        '[watches.all]\ncamera = "clip"\nmodel = "model"\ninterval_s = 0\nanswers = true\n'
    )
    with running(tables, port) as run:
        run.wait_for_answer()
        _measure(lambda: run.answers["all"], family(run.process.pid), seconds)


def naive(model: str, clip: str, port: int, seconds: float) -> None:
    """Read, resize, invoke, publish and wait: the loop that tutorials show."""
    import cv2

    interpreter = _interpreter(model)
    side = int(interpreter.get_input_details()[0]["shape"][1])
    index = interpreter.get_input_details()[0]["index"]
    output = interpreter.get_output_details()[0]["index"]
    client, frames, counts = _client(port), _frames(clip), [0]

    def step() -> None:
        frame = next(frames)
        picture = cv2.cvtColor(cv2.resize(frame, (side, side)), cv2.COLOR_BGR2RGB)
        interpreter.set_tensor(index, picture[None])
        interpreter.invoke()
        scores = interpreter.get_tensor(output)[0]
        client.publish("naive/answer", json.dumps({"label": int(scores.argmax())}), qos=1).wait_for_publish()
        counts[0] += 1

    _loop(step, lambda: counts[0], seconds)


def plain(model: str, clip: str, port: int, seconds: float) -> None:
    """The fastest that is simple: one process, a thread each to decode, to invoke, and to store and publish.

    It forgets what was not sent when it restarts, hangs with its decoder, and looks at four pixels where others look at
    all: what it shows is how near to the limit these cores, caches and libraries let any program come.
    """
    import cv2

    interpreter = _interpreter(model)
    side = int(interpreter.get_input_details()[0]["shape"][1])
    index = interpreter.get_input_details()[0]["index"]
    output = interpreter.get_output_details()[0]["index"]
    cv2.setNumThreads(1)
    pictures: queue.Queue[Any] = queue.Queue(2)
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def decode() -> None:
        for frame in _frames(clip, [cv2.CAP_PROP_N_THREADS, 1]):
            if ending.is_set():
                return
            pictures.put(cv2.cvtColor(cv2.resize(frame, (side, side)), cv2.COLOR_BGR2RGB))

    def send() -> None:
        client = _client(port)
        with tempfile.TemporaryDirectory() as folder:
            store = sqlite3.connect(Path(folder) / "plain.sqlite", isolation_level=None)
            store.executescript("PRAGMA journal_mode=WAL; CREATE TABLE answers(payload TEXT)")
            while True:
                batch = [answers.get(), *(answers.get() for _ in range(answers.qsize()))]
                payloads = [json.dumps({"label": int(scores.argmax()), "at": time.time()}) for scores in batch]
                store.execute("BEGIN")
                store.executemany("INSERT INTO answers VALUES(?)", [(payload,) for payload in payloads])
                store.execute("COMMIT")
                for payload in payloads:
                    client.publish("plain/answer", payload, qos=1)

    counts, ending = [0], threading.Event()

    def step() -> None:
        interpreter.set_tensor(index, pictures.get()[None])
        interpreter.invoke()
        answers.put(interpreter.get_tensor(output)[0])
        counts[0] += 1

    decoder = threading.Thread(target=decode, daemon=True)
    decoder.start()
    threading.Thread(target=send, daemon=True).start()
    _loop(step, lambda: counts[0], seconds)
    ending.set()  # Python may not end while a thread is inside OpenCV
    while decoder.is_alive():
        with contextlib.suppress(queue.Empty):
            pictures.get(timeout=0.1)


def mediapipe(model: str, clip: str, port: int, seconds: float) -> None:
    """MediaPipe's ImageClassifier on the same frames, published without waiting."""
    import cv2
    import mediapipe as mp

    classifier = mp.tasks.vision.ImageClassifier.create_from_model_path(model)
    client, frames, counts = _client(port), _frames(clip), [0]

    def step() -> None:
        frame = next(frames)
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
    began_s, before, cpu_before_s = time.perf_counter(), count(), cpu_s(pids)
    time.sleep(seconds)
    elapsed_s, answers, spent_s = time.perf_counter() - began_s, count() - before, cpu_s(pids) - cpu_before_s
    figures = {
        "rate_hz": answers / elapsed_s,
        "cpu_ms": spent_s * 1000 / max(answers, 1),
        "memory_mb": sum(map(memory_mb, pids)),
    }
    print(json.dumps(figures), flush=True)


def _interpreter(model: str) -> Any:  # noqa: ANN401  it has no types
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def _client(port: int) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def _frames(clip: str, parameters: Sequence[int] = ()) -> Iterator[Any]:
    """The clip over and over, ``(H, W, 3) uint8 BGR``."""
    import cv2

    while True:
        capture = cv2.VideoCapture(clip, cv2.CAP_FFMPEG, parameters)
        while True:
            read, frame = capture.read()
            if not read:
                break
            yield frame


if __name__ == "__main__":
    main()
