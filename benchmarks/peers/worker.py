"""One candidate, measured in a process of its own.

Memory and threads are the candidate's own, libraries do not interfere, and a crash leaves the other candidates alone.
Idle workers wait, so the worker that computes has the whole machine.
"""

import contextlib
import importlib
import importlib.metadata
import multiprocessing
import os
import platform
import signal
import sys
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from .peer import Array, Call, Peer, Setup


@dataclass(frozen=True)
class Candidate:
    """A peer with a batch size, and the quantities to measure."""

    title: str
    """Name in the report."""

    kind: str
    """Module and class of the peer, separated by a dot."""

    batch_size: int
    """Images per training step, and per call where throughput is measured."""

    measures: tuple[str, ...] = ("training", "inference", "latency", "times")
    """Quantities to measure. Latency and times to an accuracy do not depend on `batch_size`."""

    limit: str = ""
    """Instruction set that the library is limited to, one of LIMITS; empty for all that the processor has."""

    def peer(self, setup: Setup) -> Peer:
        """Import the library and create its peer; ImportError if it is not installed."""
        module, _, name = self.kind.partition(".")
        peer: Peer = getattr(importlib.import_module(f"{__package__}.{module}"), name)(setup)
        return peer


CANDIDATES = {
    "lenet5": Candidate("lenet5", "pytorch.Lenet5", 64),
    "lenet5-256": Candidate("lenet5", "pytorch.Lenet5", 256, ("training", "inference")),
    "dataloader": Candidate("PyTorch, torchvision and DataLoader", "pytorch.DataLoaderRecipe", 64),
    "pytorch": Candidate("PyTorch in memory", "pytorch.PyTorch", 64),
    "pytorch-256": Candidate("PyTorch in memory", "pytorch.PyTorch", 256, ("training", "inference")),
    "keras": Candidate("Keras", "frameworks.Keras", 256),
    "jax": Candidate("JAX", "frameworks.Jax", 256),
    "onnxruntime": Candidate("ONNX Runtime", "frameworks.OnnxRuntime", 256, ("inference", "latency")),
}
LIMITS = {  # of x86-64: the environment of lenet5, of torch and of its libraries; ONNX Runtime cannot be limited
    "AVX2": {"LENET5_KERNELS": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "SSE": {"LENET5_KERNELS": "none", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}
if platform.machine() in {"x86_64", "AMD64"}:
    CANDIDATES |= {
        f"{name}@{limit}": replace(
            CANDIDATES[name],
            title=f"{CANDIDATES[name].title}, {limit}",
            measures=tuple(measure for measure in CANDIDATES[name].measures if measure != "times"),
            limit=limit,
        )
        for limit in LIMITS
        for name in ("lenet5", "lenet5-256", "pytorch", "pytorch-256")
    }


class MeasuredPeer:
    """A peer with its inputs; each method measures one quantity.

    Parameters
    ----------
    candidate, setup
        The peer with its batch size, and the recipe and hardware.
    count
        Number of random images for training and prediction.
    seconds
        Minimum time over which a prediction is repeated.
    """

    def __init__(self, candidate: Candidate, setup: Setup, count: int, seconds: float) -> None:
        self.candidate, self.seconds = candidate, seconds
        self.peer = candidate.peer(setup)
        generator = np.random.default_rng(0)
        self.images = generator.integers(0, 256, (count, 1, 28, 28), np.uint8)
        self.targets = generator.integers(0, 10, count)
        model, size = self.peer.build(seed=0), candidate.batch_size
        self.predict = self.peer.prepare_prediction(model, self.images, size)
        self.predict_one = self.peer.prepare_latency(self.peer.build(seed=0), self.images[:1])

    def about(self) -> dict[str, Any]:
        """Return the versions of the peer's packages, and its device."""
        versions = {name: importlib.metadata.version(name) for name in self.peer.packages}
        return {"versions": versions, "device": self.peer.device}

    def training(self) -> float:
        """Measure one training epoch, in images per second."""
        model = self.peer.build(seed=0)
        size = self.candidate.batch_size
        train = self.peer.prepare_training(model, self.images, self.targets, epochs=1, batch_size=size, seed=0)
        return len(self.images) / _seconds(train)

    def inference(self) -> float:
        """Measure prediction in batches, in images per second."""
        return len(self.images) / mean_seconds(self.predict, self.seconds)

    def latency(self) -> float:
        """Measure the prediction of one image, in seconds."""
        return mean_seconds(self.predict_one, self.seconds)

    def memory(self) -> float:
        """Return the peak resident memory of this process so far, in bytes; NaN if the system does not report it."""
        return peak_memory()

    def load(self, train: tuple[Array, Array], test: tuple[Array, Array]) -> None:
        """Take the training and the test set: uint8 images (N, 1, 28, 28) and targets (N,)."""
        self.train, self.test = train, test

    def train_and_test(self, epochs: int, batch_size: int, seed: int) -> tuple[float, float]:
        """Train from the initial weights of a seed; return the training time in seconds, and the test accuracy."""
        model, (images, targets) = self.peer.build(seed), self.train
        train = self.peer.prepare_training(model, images, targets, epochs=epochs, batch_size=batch_size, seed=seed)
        seconds = _seconds(train)
        predictions = self.peer.prepare_prediction(model, self.test[0], batch_size)()
        return seconds, float(np.mean(predictions == self.test[1]))


class Worker:
    """A MeasuredPeer in a process of its own.

    Parameters
    ----------
    arguments
        Those of MeasuredPeer.

    Attributes
    ----------
    about
        Versions and device of the peer.

    Raises
    ------
    ImportError
        A library is not installed.
    RuntimeError
        The measurement failed, or the process died.
    """

    def __init__(self, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")  # a library with threads cannot be forked
        self.connection, child_connection = context.Pipe()
        self.process = context.Process(target=_serve, args=(child_connection, *arguments), daemon=True)
        self.process.start()
        child_connection.close()
        self.about: dict[str, Any] = self._receive()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the MeasuredPeer and return its result."""
        with contextlib.suppress(OSError):  # _receive reports a process that has died
            self.connection.send((method, arguments))
        return self._receive()

    def _receive(self) -> Any:
        try:
            reply = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            raise RuntimeError(f"its process ended with exit code {self.process.exitcode}") from None
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        """End the process, immediately if it is busy."""
        self.connection.close()
        self.process.join(timeout=5)
        self.process.terminate()


def _serve(connection: Connection, candidate: Candidate, setup: Setup, count: int, seconds: float) -> None:
    """Create a MeasuredPeer and answer requests until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    os.environ.update(_environment(setup) | LIMITS.get(candidate.limit, {}))
    with contextlib.suppress(EOFError, BrokenPipeError):
        try:
            measured = MeasuredPeer(candidate, setup, count, seconds)
        except Exception as error:  # noqa: BLE001 (a library may raise anything; the parent reports it)
            connection.send(_sendable(error))
            return
        connection.send(measured.about())
        while True:
            method, arguments = connection.recv()
            try:
                reply = getattr(measured, method)(*arguments)
            except Exception as error:  # noqa: BLE001
                reply = _sendable(error)
            connection.send(reply)


def _sendable(error: Exception) -> Exception:
    """Convert an error to a built-in type with a message of one line, so that it can be pickled."""
    text = (str(error).strip().splitlines() or [""])[0]
    return ImportError(text) if isinstance(error, ImportError) else RuntimeError(f"{type(error).__name__}: {text}")


def _environment(setup: Setup) -> dict[str, str]:
    """Return the environment variables that set threads and device of each library before its import."""
    threads = str(setup.threads)
    names = ("OMP_NUM_THREADS", "NPROC", "TF_NUM_INTRAOP_THREADS")  # torch; JAX; TensorFlow
    on_cpu = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"} if setup.device == "cpu" else {}
    # TensorFlow and JAX would reserve the whole GPU while other workers hold memory on it
    sharing = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return dict.fromkeys(names, threads) | on_cpu | sharing | {"TF_CPP_MIN_LOG_LEVEL": "3"}


def _seconds(call: Call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def mean_seconds(call: Call, seconds: float) -> float:
    """Return the mean time of a call, repeated for at least `seconds` after one warm-up call.

    `torch.utils.benchmark` is not used here: importing torch would count towards the memory of the other libraries.
    """
    call()
    number, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds or not number:
        call()
        number += 1
    return elapsed / number


def peak_memory() -> float:
    """Return the peak resident memory of this process, in bytes; NaN if the system does not report it."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would include the memory that the parent had at the start of this process
        (line,) = [line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")]
        return 1024.0 * int(line.split()[1])
    if sys.platform == "darwin":
        import resource

        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return float("nan")
