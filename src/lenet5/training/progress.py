"""How a run shows its progress: a bar and one line per epoch in a terminal, a live table in a notebook."""

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from .. import notebook
from .callbacks import Callback
from .history import Row
from .pace import Pace, clock
from .state import TrainingState


class ProgressBar(Callback):
    """A callback that shows the progress of a run, as `fit` does by default in a terminal and in a notebook.

    - On a terminal: a bar with the mean loss of the epoch, the throughput and the time left, and a line after each
      epoch. A terminal that cannot redraw a line (`TERM=dumb`) gets the lines alone.
    - In a notebook: a table with a row per epoch, and the bar below it. It needs no further package.
    - Elsewhere, as in a log file: one line per epoch on stderr.

    Under torchrun, only rank 0 shows it. A stream that is closed, as a pipe whose reader has ended, never ends a run.

    See Also
    --------
    TrainerConfig.progress : whether `fit` adds one of its own.

    Examples
    --------
    >>> digits = lenet5.load_data("digits")
    >>> config = lenet5.TrainerConfig(max_epochs=1, progress=False)
    >>> trainer = lenet5.Trainer(lenet5.LeNet5(), config, callbacks=[lenet5.ProgressBar()])
    >>> history = trainer.fit(digits.train)
    """

    def on_fit_start(self, state: TrainingState) -> None:
        """Show the bar or the table."""
        self._pace = Pace(state)
        self._view: _Lines | _Table | None = None
        self._due = 0.0
        if state.is_main:
            with contextlib.suppress(OSError, ValueError):
                self._view = _view(state)

    def on_step_end(self, state: TrainingState) -> None:
        """Advance the bar a few times a second, and at the end of the epoch."""
        if self._view is None or (time.perf_counter() < self._due and state.step != state.num_steps):
            return
        self._due = time.perf_counter() + self._view.interval
        text = self._pace.describe_step(state)
        self._try(lambda view: view.show_step(state, text))

    def on_epoch_end(self, state: TrainingState, row: Row) -> None:
        """Add the line or the row of the epoch."""
        seconds = self._pace.end_epoch(state)
        self._try(lambda view: view.show_epoch(state, row, self._pace, seconds))

    def on_fit_end(self, state: TrainingState) -> None:
        """Remove the bar; the lines or the table stay."""
        self._try(lambda view: view.close(state))

    def _try(self, draw: Callable[[Any], None]) -> None:
        """Draw, or give up for this run if nobody can see it: the stream is closed or broken."""
        if self._view is not None:
            try:
                draw(self._view)
            except (OSError, ValueError):
                self._view.give_up()
                self._view = None


class _Lines:
    """One line per epoch on stderr."""

    interval = math.inf  # nothing happens within an epoch

    def show_step(self, state: TrainingState, text: str) -> None:
        """Show nothing."""

    def show_epoch(self, state: TrainingState, row: Row, pace: Pace, _seconds: float) -> None:
        left = "" if _is_over(state) else f"  {clock(pace.left(state))} left"
        notebook.text_bars().write(f"{_describe(state, row)}  {pace.throughput()}{left}", file=sys.stderr)

    def close(self, state: TrainingState) -> None:
        """Leave the lines."""

    def give_up(self) -> None:
        """Write no more."""


class _Bar(_Lines):
    """The lines on a terminal, and a bar below them."""

    interval = 0.1  # seconds between two updates

    def __init__(self, state: TrainingState) -> None:
        self._bar = notebook.text_bars()(
            total=state.num_steps,
            initial=state.step,
            desc=_epoch(state),
            leave=False,
            dynamic_ncols=True,
            bar_format="{desc}  {percentage:3.0f}%|{bar}|  {postfix[0]}",
            postfix=["starting"],
        )

    def show_step(self, state: TrainingState, text: str) -> None:
        self._bar.n, self._bar.postfix[0] = state.step, text
        self._bar.refresh()

    def show_epoch(self, state: TrainingState, row: Row, pace: Pace, _seconds: float) -> None:
        if not _is_over(state):  # the line redraws the bar below it
            self._bar.set_description_str(_epoch(state), refresh=False)
            self._bar.n = 0
        super().show_epoch(state, row, pace, _seconds)

    def close(self, _state: TrainingState) -> None:
        self._bar.close()

    def give_up(self) -> None:
        self._bar.disable = True  # it would write once more when it is collected


class _Table:
    """A table in a notebook with a row per epoch, and the bar below it."""

    interval = 0.5  # each update is a message to the browser

    def __init__(self, state: TrainingState) -> None:
        self._columns: dict[float, tuple[str, str]] = {}
        self._drawn = time.perf_counter()
        state.history.shown_in = notebook.current_cell()
        self._handle = notebook.display(self._content(state, "starting"))

    def show_step(self, state: TrainingState, text: str) -> None:
        if time.perf_counter() >= self._drawn + self.interval:  # epochs may be shorter
            self._handle.update(self._content(state, text))
            self._drawn = time.perf_counter()

    def show_epoch(self, state: TrainingState, row: Row, pace: Pace, seconds: float) -> None:
        self._columns[row["epoch"]] = f"{seconds:.1f}", pace.throughput().partition(" ")[0]
        self.show_step(state, f"{clock(pace.left(state))} left in all")

    def close(self, state: TrainingState) -> None:
        self._handle.update(self._content(state, None))

    def give_up(self) -> None:
        """Update no more."""

    def _content(self, state: TrainingState, text: str | None) -> notebook.Markup:
        """Return the table and, unless the text is None, the bar with the text."""
        frame, best = state.history.to_frame(), state.history.best_epoch
        plain, markup = f"{len(frame)} of {state.config.max_epochs} epochs", ""
        plain += "" if best is None else f", best epoch {best}"
        if len(frame):
            times = [self._columns.get(epoch, ("", "")) for epoch in frame["epoch"]]
            frame["seconds"], frame["images/s"] = zip(*times, strict=True)
            markup = notebook.table_html(plain, frame.set_index("epoch"))
        if text is not None:
            title = _epoch(state)
            bar = f'<progress value="{state.step}" max="{state.num_steps}" aria-label="{title}"></progress>'
            markup += f"<p>{bar} {title}  {text}</p>"
        return notebook.Markup(plain, markup or f"<p>{plain}</p>")


def with_progress(callbacks: Sequence[Callback], progress: bool | None) -> list[Callback]:
    """Return the callbacks and, as `TrainerConfig.progress` says, a ProgressBar, unless there is one already."""
    if progress is None:
        progress = notebook.in_notebook() or is_terminal(sys.stderr)
    has_one = any(isinstance(callback, ProgressBar) for callback in callbacks)
    return [*callbacks, ProgressBar()] if progress and not has_one else [*callbacks]


def is_terminal(stream: Any) -> bool:
    """Return True for a terminal; False for files, pipes, closed streams and None."""
    try:
        return bool(stream.isatty())
    except (AttributeError, OSError, ValueError):  # None or a stand-in, broken, closed
        return False


def _view(state: TrainingState) -> _Lines | _Table | None:
    """Return what this process can show; None if it has no stderr, as programs without a console on Windows."""
    if notebook.in_notebook():
        return _Table(state)
    if sys.stderr is None:
        return None
    can_redraw = os.environ.get("TERM") != "dumb" and "idlelib.run" not in sys.modules  # else \r starts no line anew
    return _Bar(state) if can_redraw and is_terminal(sys.stderr) else _Lines()


def _is_over(state: TrainingState) -> bool:
    return state.is_over or state.should_stop


def _epoch(state: TrainingState) -> str:
    epochs = state.config.max_epochs
    return f"epoch {min(state.epoch + 1, epochs)}/{epochs}"


def _describe(state: TrainingState, row: Row) -> str:
    text = f"epoch {row['epoch']}/{state.config.max_epochs}  loss {row['train_loss']:.4f}"
    if "val_loss" in row:
        text += f"  val_loss {row['val_loss']:.4f}"
    if "val_accuracy" in row:
        text += f"  val_accuracy {row['val_accuracy']:.4f}"
    errors = {"train": row.get("train_accuracy"), "test": row.get("test_accuracy")}
    return text + "".join(f"  {name}_error {1 - value:.2%}" for name, value in errors.items() if value is not None)
