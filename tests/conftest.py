import contextlib
import errno
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
import torch

import lenet5
from lenet5 import Callback, TrainingState
from lenet5.data import DataSplits

hypothesis.settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # which would fail where other programs are at work
)
hypothesis.settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """Heed Ctrl-C as in a terminal; a shell lets what runs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Give back the number of threads that a test may set: sums of another number of threads are rounded otherwise."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _no_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the GPU of a Mac, which no environment variable hides."""
    if sys.platform == "darwin":
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    beside = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("LENET5_DATA") or beside)
    if not (root / "MNIST" / "raw").is_dir():
        pytest.skip(f"MNIST is not at {root}; set LENET5_DATA to the folder that holds MNIST/raw")
    return root


@pytest.fixture(scope="session")
def digits() -> DataSplits:
    return lenet5.load_data("digits")


class StopAfter(Callback):
    """Raise InterruptedError after a number of steps."""

    def __init__(self, num_steps: int) -> None:
        self.remaining = num_steps

    def on_step_end(self, state: TrainingState) -> None:
        self.remaining -= 1
        if self.remaining == 0:
            raise InterruptedError


@pytest.fixture(scope="session")
def stop_after() -> Callable[[int], Callback]:
    """The callback that stops a run: `stop_after(6)` raises InterruptedError after six steps."""
    return StopAfter


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The values that a cell of a notebook displays, each update of a display included."""
    values: list[object] = []

    def display(value: object, *, display_id: bool) -> SimpleNamespace:
        assert display_id
        values.append(value)
        return SimpleNamespace(update=values.append)

    importlib.import_module("IPython.display")
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=object(), execution_count=3))
    monkeypatch.setattr("IPython.display.display", display)
    return values


class KilledError(BaseException):
    """The process has ended: no handler takes it for an ordinary error."""


class Faults:
    """Makes one file operation of a call fail: opening, writing, flushing, renaming, creating or removing.

    Attributes
    ----------
    injected
        Number of faults so far.
    """

    OPERATIONS = ("open", "write", "fsync", "replace", "mkdir", "rmdir", "unlink")

    def __init__(self) -> None:
        self.injected = 0

    def survive(self, call: Callable[[], object], kind: str, number: int) -> bool:
        """Let an operation fail: "EIO", "ENOSPC", or "kill", after which all fail. Return False if there are fewer."""
        count = 0

        def guard(operation: Callable[..., Any]) -> Callable[..., Any]:
            def run(*arguments: Any, **options: Any) -> Any:
                nonlocal count
                count += 1
                if count == number and kind == "kill":
                    raise KilledError
                if count == number or (count > number and kind == "kill"):
                    code = errno.ENOSPC if kind == "ENOSPC" else errno.EIO
                    raise OSError(code, os.strerror(code))
                return operation(*arguments, **options)

            return run

        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(OSError, KilledError):
            for name in self.OPERATIONS:
                patch.setattr(os, name, guard(getattr(os, name)))
            call()
        self.injected += count >= number
        return count >= number


@pytest.fixture
def faults() -> Faults:
    return Faults()
