"""Ctrl-C and SIGTERM as requests that a training run answers after the current step."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """The last signal received; 0 if none."""

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
    """Catch SIGINT and SIGTERM during a block. Python allows this in the main thread only.

    A signal that is ignored stays ignored; shells ignore SIGINT for background jobs. torchrun forwards the signals that
    it receives, so that under torchrun a second Ctrl-C may be the first one again.
    """
    interrupt = Interrupt(second_raises=second_raises)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    handled = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt.handle) for number in handled}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
