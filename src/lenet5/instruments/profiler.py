"""Profiling of training steps."""

from pathlib import Path

from torch.profiler import ProfilerActivity, profile, schedule

from .. import storage
from ..storage import StrPath
from ..training.callbacks import Callback
from ..training.state import TrainingState


class Profiler(Callback):
    """A callback that profiles steps with torch.profiler; writes `trace.json` and `operators.txt`.

    While a profiler records, PyTorch computes layer by layer, so that it sees each layer. Without it, a kernel of this
    package may compute the whole step, faster.

    Parameters
    ----------
    directory
        Folder for the two files. Open `trace.json` at ui.perfetto.dev.
    skip
        Number of first steps to skip as warm-up, at least 1.
    steps
        Number of steps to profile, at least 1. A run that ends before the first of them writes no files.

    Raises
    ------
    ValueError
        `skip` or `steps` is less than 1.

    Examples
    --------
    >>> profiler = lenet5.Profiler("profile", skip=2, steps=3)
    >>> config = lenet5.TrainerConfig(max_epochs=1)
    >>> trainer = lenet5.Trainer(lenet5.LeNet5(), config, callbacks=[profiler])
    >>> history = trainer.fit(lenet5.load_data("digits").train)
    >>> sorted(path.name for path in profiler.directory.iterdir())
    ['operators.txt', 'trace.json']
    """

    directory: Path
    skip: int
    steps: int

    def __init__(self, directory: StrPath, *, skip: int = 10, steps: int = 10) -> None:
        if skip < 1 or steps < 1:
            raise ValueError(f"skip is {skip} and steps is {steps}; expected at least 1")
        self.directory, self.skip, self.steps = storage.as_path(directory), skip, steps
        self._profile: profile | None = None

    def on_fit_start(self, state: TrainingState) -> None:
        """Start the profiler."""
        if not state.is_main:
            return
        device = ProfilerActivity.CUDA if state.device.type == "cuda" else ProfilerActivity.CPU
        self._profile = profile(
            activities={ProfilerActivity.CPU, device},
            schedule=schedule(skip_first=self.skip - 1, wait=0, warmup=1, active=self.steps, repeat=1),
            on_trace_ready=self._write,
        )
        self._profile.start()

    def on_step_end(self, state: TrainingState) -> None:  # noqa: ARG002 (the signature of the hook)
        """Advance the profiler."""
        if self._profile is not None:
            self._profile.step()

    def on_fit_end(self, state: TrainingState) -> None:  # noqa: ARG002 (the signature of the hook)
        """Stop the profiler."""
        if self._profile is not None:
            self._profile.stop()
            self._profile = None

    def _write(self, result: profile) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        result.export_chrome_trace(str(self.directory / "trace.json"))
        table = result.key_averages().table(sort_by="self_cpu_time_total", row_limit=30)
        storage.write_file(self.directory / "operators.txt", f"{table}\n".encode())
