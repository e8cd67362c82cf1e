"""Ctrl-C and SIGTERM as requests to stop a training run after the current step."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """A signal handler that records the last signal: `received` is its number, or 0 if there was none."""

    received: int = 0

    def __init__(self, *, second_raises: bool) -> None:
        self.second_raises = second_raises

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Record a signal; with `second_raises`, raise KeyboardInterrupt at the second Ctrl-C."""
        if self.second_raises and number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number


@contextlib.contextmanager
def interruptible(*, second_raises: bool) -> Iterator[Interrupt]:
    """Record SIGINT and SIGTERM during a block, instead of raising or exiting.

    Python allows this in the main thread only; in other threads, nothing is recorded. An ignored signal stays ignored,
    because shells ignore SIGINT for background jobs. A handler that a program around Python installed stays, because
    Python could not restore it. Under torchrun, leave `second_raises` False: torchrun forwards
    signals, so one Ctrl-C can arrive twice.
    """
    interrupt = Interrupt(second_raises=second_raises)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    handled = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, interrupt.handle) for number in handled}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
