"""Where the time of a training goes."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from .. import storage
from ..training import Callback, History, Trainer


class Profiler(Callback):
    """Watches some steps by torch.profiler, and writes `trace.json` (for ui.perfetto.dev) and `operators.txt`.

    Parameters
    ----------
    directory
        Where the two files go.
    skip
        Steps that are taken before, so that what is only slow at first is not seen.
    steps
        Steps that are watched. A training that ends before the first of them leaves no files.
    """

    def __init__(self, directory: str | os.PathLike[str], *, skip: int = 10, steps: int = 10) -> None:
        if skip < 1 or steps < 1:
            raise ValueError(f"skip is {skip} and steps is {steps}; expected at least 1")
        self.directory, self.skip, self.steps = Path(directory), skip, steps
        self._profile: profile | None = None

    def on_fit_start(self, trainer: Trainer) -> None:
        """Begin to count."""
        if not trainer.is_main:
            return
        device = ProfilerActivity.CUDA if trainer.device.type == "cuda" else ProfilerActivity.CPU
        self._profile = profile(
            activities={ProfilerActivity.CPU, device},
            schedule=schedule(skip_first=self.skip - 1, wait=0, warmup=1, active=self.steps, repeat=1),
            on_trace_ready=self._write,
        )
        self._profile.start()

    def on_step_end(self, trainer: Trainer) -> None:  # noqa: ARG002 (a hook)
        """Count a step."""
        if self._profile is not None:
            self._profile.step()

    def on_fit_end(self, trainer: Trainer, history: History) -> None:  # noqa: ARG002 (a hook)
        """Stop."""
        if self._profile is not None:
            self._profile.stop()
            self._profile = None

    def _write(self, found: torch.profiler.profile) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        found.export_chrome_trace(str(self.directory / "trace.json"))
        table = found.key_averages().table(sort_by="self_cpu_time_total", row_limit=30)
        storage.write_file(self.directory / "operators.txt", f"{table}\n".encode())
