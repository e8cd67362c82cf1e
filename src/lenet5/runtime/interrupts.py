"""Ctrl-C and SIGTERM as requests that a training answers when its step is done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """The signal that arrived; 0 before one did."""

    received: int = 0

    def __init__(self, *, second_raises: bool) -> None:
        self.second_raises = second_raises

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Note a signal; a second Ctrl-C raises at once, where that is wanted."""
        if self.second_raises and number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number


@contextlib.contextmanager
def interruptible(*, second_raises: bool) -> Iterator[Interrupt]:
    """Catch SIGINT and SIGTERM during a block, where Python lets a thread do so: in the main one.

    A signal that is ignored, as a shell makes it for what runs in the background, stays so. Under
    torchrun, which passes on what it hears, a second Ctrl-C may be the first once more.
    """
    interrupt = Interrupt(second_raises=second_raises)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    heeded = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt.handle) for number in heeded}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
