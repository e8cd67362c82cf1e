"""How fast a run trains, and how long it will take."""

import math
import time

from .. import notebook
from .state import TrainingState


class Pace:
    """The throughput of a run since `fit` started, and the time left.

    Attributes
    ----------
    images_per_second
        Throughput of the current epoch, or of the one that just ended: images over the time for the steps, without
        validation. NaN before the first step.
    """

    images_per_second: float

    def __init__(self, state: TrainingState) -> None:
        self.images_per_second = math.nan
        self._start, self._first_step = time.perf_counter(), state.global_step
        self._start_epoch(state)

    def describe_step(self, state: TrainingState) -> str:
        """Measure the throughput, and return it with the mean loss and the time left, as the bar shows them."""
        elapsed = time.perf_counter() - self._epoch_start
        self.images_per_second = (state.num_seen - self._seen) / max(elapsed, 1e-9)
        left = elapsed / (state.step - self._epoch_first) * (state.num_steps - state.step)
        text = f"loss {_mean_loss(state):.4f}  {self.throughput()}  {clock(left)} left"
        return text if state.config.max_epochs == 1 else f"{text} ({clock(self.left(state))} in all)"

    def end_epoch(self, state: TrainingState) -> float:
        """Start the clock of the next epoch, and return the seconds that this one took, validation included."""
        seconds = time.perf_counter() - self._epoch_start
        self._start_epoch(state)
        return seconds

    def left(self, state: TrainingState) -> float:
        """Return the seconds to the end of the last epoch, at the mean speed since `fit` started."""
        done = max(state.global_step - self._first_step, 1)
        to_do = state.config.max_epochs * state.num_steps - state.global_step
        return (time.perf_counter() - self._start) / done * to_do

    def throughput(self) -> str:
        """Return the images per second as text."""
        digits = 0 if self.images_per_second >= 10 else 2
        return f"{self.images_per_second:,.{digits}f} images/s"

    def _start_epoch(self, state: TrainingState) -> None:
        self._epoch_start, self._epoch_first, self._seen = time.perf_counter(), state.step, state.num_seen


def _mean_loss(state: TrainingState) -> float:
    """Return the mean loss of the epoch so far; waits for the device. In several processes, it is that of rank 0."""
    return state.loss_sum.item() * state.processes.world_size / state.num_seen


def clock(seconds: float) -> str:
    """Return a time as text: minutes and seconds, and hours if there are any."""
    return str(notebook.text_bars().format_interval(seconds))
