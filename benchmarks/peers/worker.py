"""The place where one candidate is measured: a process of its own.

So its memory and its threads are its own, no library meets another, and one that crashes leaves the others alone. The
processes wait while they are not asked, so what one of them computes has the whole machine.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from .peers import Array, Call, Peer, Settings


@dataclass(frozen=True)
class Candidate:
    """What is measured, and how."""

    title: str
    """What it is called in the report."""

    kind: str
    """The module and the class of its peer."""

    batch_size: int
    """Images per step and per call, where images a second are measured."""

    measures: tuple[str, ...] = ("training", "inference", "latency", "times")
    """What is measured. Another size of batch changes no latency, and the times to an accuracy have the recipe's."""

    def peer(self, settings: Settings) -> Peer:
        """Import the library and return its peer; ImportError where it is not installed."""
        module, _, name = self.kind.partition(".")
        made: Peer = getattr(importlib.import_module(f"{__package__}.{module}"), name)(settings)
        return made


CANDIDATES = {
    "lenet5": Candidate("lenet5", "peers.Lenet5", 64),
    "lenet5-256": Candidate("lenet5", "peers.Lenet5", 256, ("training", "inference")),
    "dataloader": Candidate("PyTorch, torchvision and DataLoader", "peers.DataLoaderRecipe", 64),
    "pytorch": Candidate("PyTorch in memory", "peers.PyTorch", 64),
    "pytorch-256": Candidate("PyTorch in memory", "peers.PyTorch", 256, ("training", "inference")),
    "keras": Candidate("Keras", "frameworks.Keras", 256),
    "jax": Candidate("JAX", "frameworks.Jax", 256),
    "onnxruntime": Candidate("ONNX Runtime", "frameworks.OnnxRuntime", 256, ("inference", "latency")),
}


class Bench:
    """A candidate and what it is measured with.

    Parameters
    ----------
    candidate, settings
        What is measured, and on what.
    count
        Random images to train on and to label.
    seconds
        How long a call is repeated at least, where it is labels that are timed.
    """

    def __init__(self, candidate: Candidate, settings: Settings, count: int, seconds: float) -> None:
        self.candidate, self.seconds = candidate, seconds
        self.peer = candidate.peer(settings)
        generator = np.random.default_rng(0)
        self.images = generator.integers(0, 256, (count, 1, 28, 28), np.uint8)
        self.targets = generator.integers(0, 10, count)
        model, size = self.peer.start(seed=0), candidate.batch_size
        self.label = self.peer.labelling(model, self.images, size)
        self.answer = self.peer.answering(self.peer.start(seed=0), self.images[:1])

    def about(self) -> dict[str, Any]:
        """Return the versions of the peer's packages, and where it computes."""
        versions = {name: importlib.metadata.version(name) for name in self.peer.packages}
        return {"versions": versions, "device": self.peer.device}

    def training(self) -> float:
        """Return images a second of an epoch."""
        model = self.peer.start(seed=0)
        size = self.candidate.batch_size
        train = self.peer.training(model, self.images, self.targets, epochs=1, batch_size=size, seed=0)
        return len(self.images) / _timed(train)

    def inference(self) -> float:
        """Return images a second, labelled in batches."""
        return len(self.images) / repeated(self.label, self.seconds)

    def latency(self) -> float:
        """Return the seconds until one image is labelled."""
        return repeated(self.answer, self.seconds)

    def memory(self) -> float:
        """Return the highest resident memory of this process so far, in bytes; NaN where the system does not say."""
        return peak_memory()

    def load(self, train: tuple[Array, Array], test: tuple[Array, Array]) -> None:
        """Take uint8 images (N, 1, 28, 28) and targets (N,), to learn from and to be tested with."""
        self.train, self.test = train, test

    def learn(self, epochs: int, batch_size: int, seed: int) -> tuple[float, float]:
        """Train from a seed's weights; return the seconds of that alone, and the test accuracy."""
        model, (images, targets) = self.peer.start(seed), self.train
        train = self.peer.training(model, images, targets, epochs=epochs, batch_size=batch_size, seed=seed)
        seconds = _timed(train)
        labels = self.peer.labelling(model, self.test[0], batch_size)()
        return seconds, float(np.mean(labels == self.test[1]))


class Worker:
    """A bench in a process of its own.

    Parameters
    ----------
    arguments
        As for Bench.

    Attributes
    ----------
    about
        What its bench says of itself.

    Raises
    ------
    ImportError
        A library is not installed.
    RuntimeError
        Something failed, or the process died.
    """

    def __init__(self, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")  # a library that has threads cannot be forked
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.about: dict[str, Any] = self._receive()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the bench."""
        with contextlib.suppress(OSError):  # a process that has died is found when it does not answer
            self.connection.send((method, arguments))
        return self._receive()

    def _receive(self) -> Any:
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            raise RuntimeError(f"its process ended with exit code {self.process.exitcode}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the process, at once if it is at work."""
        self.connection.close()
        self.process.join(timeout=5)
        self.process.terminate()


def _serve(connection: Connection, candidate: Candidate, settings: Settings, count: int, seconds: float) -> None:
    """Make a bench and answer what it is asked, until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks decides
    os.environ.update(_environment(settings))
    with contextlib.suppress(EOFError, BrokenPipeError):
        try:
            bench = Bench(candidate, settings, count, seconds)
        except Exception as error:  # noqa: BLE001  (whatever a library raises is told)
            connection.send(_told(error))
            return
        connection.send(bench.about())
        while True:
            method, arguments = connection.recv()
            try:
                answer = getattr(bench, method)(*arguments)
            except Exception as error:  # noqa: BLE001
                answer = _told(error)
            connection.send(answer)


def _told(error: Exception) -> Exception:
    """Return an error that can be sent: of a built-in type, with one line."""
    text = (str(error).strip().splitlines() or [""])[0]
    return ImportError(text) if isinstance(error, ImportError) else RuntimeError(f"{type(error).__name__}: {text}")


def _environment(settings: Settings) -> dict[str, str]:
    """Return what tells each library its threads and its device before it is imported."""
    threads = str(settings.threads)
    names = ("OMP_NUM_THREADS", "NPROC", "TF_NUM_INTRAOP_THREADS")  # torch; JAX; TensorFlow
    on_cpu = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"} if settings.device == "cpu" else {}
    # TensorFlow and JAX would take the whole GPU, and the others wait beside them
    sharing = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return dict.fromkeys(names, threads) | on_cpu | sharing | {"TF_CPP_MIN_LOG_LEVEL": "3"}


def _timed(call: Call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def repeated(call: Call, seconds: float) -> float:
    """Return the seconds of a call, after one that wakes caches and threads."""
    call()
    number, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds or not number:
        call()
        number += 1
    return elapsed / number


def peak_memory() -> float:
    """Return the highest resident memory of this process, in bytes; NaN where the system does not say."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent had when it started this process
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return 1024.0 * int(line.split()[1])
    if sys.platform == "darwin":
        import resource

        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return float("nan")
