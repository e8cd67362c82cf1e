"""Measure what the progress of `Trainer.fit` costs, as a fraction of the steps of LeNet-5 at a batch size of 64.

    python benchmarks/progress.py > benchmarks/results/progress.txt

A step that draws nothing costs `quiet`, and an update of the bar `update`. At most ten updates a second are drawn, so
the fraction is quiet / step + 10 * update. Times are process CPU time, the minimum of several rounds, in one thread.
Needs a system with pseudo-terminals.
"""

import contextlib
import os
import pty
import termios
import threading
import time
from collections.abc import Callable, Iterator

import torch

import lenet5
from lenet5.training.history import Row

BATCH_SIZE, NUM_IMAGES, ROUNDS, CALLS = 64, 20_000, 7, 2000
PER_SECOND = 10  # updates of the bar


@contextlib.contextmanager
def terminal() -> Iterator[None]:
    """Make stderr a terminal that is read."""
    os.environ["TERM"] = "xterm"
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))

    def read() -> None:
        with contextlib.suppress(OSError):
            while os.read(master, 4096):
                pass

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(slave, "w", encoding="utf-8") as stream, contextlib.redirect_stderr(stream):
        yield
    reader.join()
    os.close(master)


def seconds(call: Callable[[], object], count: int) -> float:
    """Return the least CPU time of a call."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(count):
            call()
        times.append((time.process_time() - start) / count)
    return min(times)


class Measure(lenet5.Callback):
    """Measures a ProgressBar in the first epoch of a run, whose state it is given."""

    quiet = update = epoch = 0.0

    def on_epoch_end(self, state: lenet5.TrainingState, row: Row) -> None:
        """Measure a step that draws nothing, one that draws, and the end of an epoch."""
        state.step, state.num_seen = 1, BATCH_SIZE
        bar = lenet5.ProgressBar()
        bar.on_fit_start(state)
        state.step, state.num_seen = 2, 2 * BATCH_SIZE
        bar._due = float("inf")  # noqa: SLF001
        self.quiet = seconds(lambda: bar.on_step_end(state), CALLS)

        def draw() -> None:
            bar._due = 0.0  # noqa: SLF001
            bar.on_step_end(state)

        self.update = seconds(draw, CALLS // 10)
        self.epoch = seconds(lambda: bar.on_epoch_end(state, row), CALLS // 10)
        bar.on_fit_end(state)


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (NUM_IMAGES, 1, 28, 28), dtype=torch.uint8)
    data = lenet5.ImageDataset(
        images, torch.arange(NUM_IMAGES) % 10, classes="0123456789", transform=lenet5.Preprocess()
    )
    config = lenet5.TrainerConfig(max_epochs=1, batch_size=BATCH_SIZE, device="cpu", progress=False)
    trainer, measure = lenet5.Trainer(lenet5.LeNet5(), config), Measure()
    step = seconds(lambda: trainer.fit(data), 1) / (NUM_IMAGES / BATCH_SIZE)
    with terminal():
        lenet5.Trainer(lenet5.LeNet5(), lenet5.TrainerConfig(max_epochs=2, progress=False), callbacks=[measure]).fit(
            data.select(range(640))
        )
    fraction = measure.quiet / step + PER_SECOND * measure.update
    print(f"step of LeNet-5, batch size {BATCH_SIZE}, one thread: {1e6 * step:.0f} µs")
    print(f"a step that draws nothing: {1e6 * measure.quiet:.2f} µs, {measure.quiet / step:.3%} of a step")
    print(
        f"an update of the bar: {1e6 * measure.update:.0f} µs, {PER_SECOND} a second: {PER_SECOND * measure.update:.3%}"
    )
    print(f"together: {fraction:.3%} of the time for the steps")
    print(f"the line of an epoch: {1e6 * measure.epoch:.0f} µs")
    print(f"torch {torch.__version__}, CPU time, minimum of {ROUNDS} rounds")


if __name__ == "__main__":
    main()
