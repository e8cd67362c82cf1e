"""What a run shows while it trains, and where."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import lenet5
from lenet5 import History, ProgressBar, Trainer, TrainerConfig, TrainingState
from lenet5.training import progress
from lenet5.training.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.training.conftest import Tiny

    from lenet5 import DataSplits

LINE = r"epoch \d/\d  loss [\d.]+(  val_loss [\d.]+  val_accuracy [\d.]+)?  [\d,.]+ images/s(  [\d:]+ left)?"


@pytest.fixture(autouse=True)
def xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


class Screen:
    """What was written to a terminal."""

    written: str = ""

    @property
    def lines(self) -> list[str]:
        """The lines at the end, which a carriage return lets overwrite."""
        lines = []
        for line in self.written.split("\n"):
            shown = ""
            for part in line.split("\r"):
                shown = part + shown[len(part) :]
            lines.append(shown.rstrip())
        return [line for line in lines if line]


@contextlib.contextmanager
def terminal(columns: int = 100) -> Iterator[Screen]:
    """Make stderr a terminal of so many columns; the screen is complete after the block."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    from fcntl import ioctl
    from struct import pack
    from termios import TIOCSWINSZ

    master, slave = pty.openpty()
    ioctl(slave, TIOCSWINSZ, pack("HHHH", 24 if columns else 0, columns, 0, 0))
    received: list[bytes] = []

    def read() -> None:  # a terminal holds a few kilobytes, and then writing waits
        with contextlib.suppress(OSError):  # the other end is closed
            while data := os.read(master, 4096):
                received.append(data)

    reader, screen = threading.Thread(target=read), Screen()
    reader.start()
    with os.fdopen(slave, "w", encoding="utf-8") as stream, contextlib.redirect_stderr(stream):
        yield screen
    reader.join()
    os.close(master)
    screen.written = b"".join(received).decode().replace("\r\n", "\n")


def fit(tiny: Tiny, *, explicit: bool = False, **changes: Any) -> History:
    callbacks = [ProgressBar()] if explicit else []
    config = tiny.config(max_epochs=2, **changes)
    return Trainer(tiny.model(), config, callbacks=callbacks).fit(tiny.examples(), tiny.examples())


@pytest.mark.parametrize("changes", [{}, {"progress": True}, {"explicit": True}, {"explicit": True, "progress": False}])
def test_terminal_shows_a_bar_and_keeps_one_line_per_epoch(tiny: Tiny, changes: dict[str, Any]) -> None:
    with terminal() as screen:
        history = fit(tiny, **changes)
    lines = screen.lines
    assert len(lines) == 2
    assert all(re.fullmatch(LINE, line) for line in lines)
    assert lines[1].startswith(f"epoch 2/2  loss {history[1]['train_loss']:.4f}")
    assert "left" in lines[0]
    assert "left" not in lines[1]
    bar = r"epoch 1/2   33%\|.*\|  loss [\d.]+  [\d,.]+ images/s  [\d:]+ left \([\d:]+ in all\)"
    assert re.search(bar, screen.written)


@pytest.mark.parametrize("columns", [0, 2, 20, 40, 79, 200])
def test_bar_fits_the_terminal(tiny: Tiny, columns: int) -> None:
    with terminal(columns) as screen:
        fit(tiny)
    bars = [part.rstrip() for part in re.split("[\r\n]", screen.written) if not re.fullmatch(LINE, part)]
    assert columns == 0 or all(len(bar) <= columns for bar in bars)  # 0 is an unknown size
    assert [line for line in screen.lines if re.fullmatch(LINE, line)] == screen.lines


@pytest.mark.parametrize("where", ["TERM", "IDLE"])
def test_terminal_that_cannot_redraw_a_line_shows_the_lines_alone(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "TERM":
        monkeypatch.setenv("TERM", "dumb")
    else:
        monkeypatch.setitem(sys.modules, "idlelib.run", SimpleNamespace())
    with terminal() as screen:
        fit(tiny)
    assert "\r" not in screen.written
    assert all(re.fullmatch(LINE, line) for line in screen.lines)


def test_nothing_is_shown_without_a_terminal(tiny: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    fit(tiny)
    fit(tiny, progress=False)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("changes", [{"progress": True}, {"explicit": True}])
def test_requested_progress_without_a_terminal_is_one_line_per_epoch(
    tiny: Tiny, capfd: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    fit(tiny, **changes)
    output = capfd.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(LINE, line) for line in lines)


def test_line_has_no_validation_without_validation_data(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    Trainer(tiny.model(), tiny.config(max_epochs=1, progress=True)).fit(tiny.examples())
    line = capsys.readouterr().err.strip()
    assert re.fullmatch(LINE, line)
    assert "val" not in line


def test_progress_false_is_silent_on_a_terminal(tiny: Tiny) -> None:
    with terminal() as screen:
        fit(tiny, progress=False)
    assert screen.written == ""


def test_other_tasks_are_silent_on_a_terminal(digits: DataSplits) -> None:
    trainer = Trainer(lenet5.LeNet5(), TrainerConfig(max_epochs=1))
    pixels, labels = digits.val.images.flatten(1).numpy(), digits.val.targets.numpy()
    with terminal() as screen:
        lenet5.find_lr(trainer, digits.val, num_steps=10)
        trainer.evaluate(digits.val)
        trainer.predict(digits.val[0][0][None])
        lenet5.LeNet5Classifier(max_epochs=1).fit(pixels, labels)
    assert screen.written == ""


def test_verbose_classifier_shows_its_epochs(digits: DataSplits) -> None:
    with terminal() as screen:
        classifier = lenet5.LeNet5Classifier(max_epochs=1, verbose=True)
        classifier.fit(digits.val.images.flatten(1).numpy(), digits.val.targets.numpy())
    assert len(screen.lines) == 1


@pytest.mark.parametrize("stream", ["none", "closed", "a stand-in"])
@pytest.mark.parametrize("changes", [{}, {"progress": True}, {"explicit": True}])
def test_missing_stderr_ends_no_run(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, stream: str, changes: dict[str, Any]
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(
        sys, "stderr", {"none": None, "closed": closed, "a stand-in": SimpleNamespace(write=len)}[stream]
    )
    assert len(fit(tiny, **changes)) == 2


class Breaking(io.StringIO):
    """A terminal that is gone after some writes."""

    def __init__(self, num_writes: int, error: Exception) -> None:
        super().__init__()
        self.left, self.error = num_writes, error

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise self.error
        return len(text)


@pytest.mark.parametrize("num_writes", range(12))
@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), OSError(5, "Input/output error")])
def test_terminal_that_breaks_ends_no_run(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, num_writes: int, error: Exception
) -> None:
    expected = fit(tiny, progress=False)
    monkeypatch.setattr(sys, "stderr", Breaking(num_writes, error))
    assert fit(tiny).rows == expected.rows


def test_pipe_whose_reader_has_ended_ends_no_run(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8", buffering=1) as stream:  # noqa: PTH123 (a descriptor)
        monkeypatch.setattr(sys, "stderr", stream)
        assert len(fit(tiny, explicit=True)) == 2
        monkeypatch.undo()
        with pytest.raises(BrokenPipeError):
            stream.close()


def test_progress_changes_no_number(tiny: Tiny) -> None:
    with terminal():
        shown = fit(tiny)
    assert shown.rows == fit(tiny, progress=False).rows


def test_bar_is_updated_a_few_times_a_second(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.perf_counter", lambda: 100.0)  # time stands still
    described: list[int] = []
    describe = Pace.describe_step

    def record(pace: Pace, state: TrainingState) -> str:
        described.append(state.step)
        return describe(pace, state)

    monkeypatch.setattr(Pace, "describe_step", record)
    with terminal():
        Trainer(tiny.model(), tiny.config(max_epochs=2, batch_size=1)).fit(tiny.examples())
    assert described == [1, 20, 20]  # the first step of the run, and the last of each epoch


def test_notebook_shows_one_live_table_with_time_and_throughput(
    tiny: Tiny, displayed: list[Any], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress._Table, "interval", 0.0)
    history = fit(tiny)
    assert capfd.readouterr() == ("", "")
    first, last = displayed[0]._repr_html_(), displayed[-1]._repr_html_()
    assert "<table" not in first
    assert "<progress" in first
    assert "<progress" not in last
    for name in ("epoch", "lr", "train_loss", "val_loss", "val_accuracy", "seconds", "images/s"):
        assert f"<th>{name}</th>" in last
    assert f"{history[1]['train_loss']:.4g}" in last
    assert repr(displayed[-1]) == f"2 of 2 epochs, best epoch {history.best_epoch}"
    bar = next(html for html in (shown._repr_html_() for shown in displayed) if "images/s  " in html)
    assert re.search(r'<progress value="\d" max="3" aria-label="epoch 1/2"></progress> epoch 1/2  loss ', bar)
    assert not re.search("<script|https?:|<style", first + bar + last)


def test_notebook_is_updated_twice_a_second_and_at_the_end(
    tiny: Tiny, displayed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.perf_counter", lambda: 100.0)
    fit(tiny)
    assert len(displayed) == 2
    assert "2 of 2 epochs" in displayed[-1]._repr_html_()


@pytest.mark.usefixtures("displayed")
def test_history_is_not_shown_twice_in_its_cell(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    history = fit(tiny)
    assert history._repr_html_() is None
    assert fit(tiny, progress=False)._repr_html_() is not None
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=object(), execution_count=4))
    assert "<table" in (history._repr_html_() or "")  # in the next cell


def test_notebook_table_of_a_resumed_run_has_no_times_of_earlier_epochs(
    tiny: Tiny, displayed: list[Any], tmp_path: Path
) -> None:
    settings = {"schedule": "constant", "checkpoint_dir": tmp_path}
    Trainer(tiny.model(), tiny.config(max_epochs=1, **settings)).fit(tiny.images())
    Trainer(tiny.model(), tiny.config(max_epochs=2, **settings)).fit(tiny.images(), resume=True)
    rows = re.findall(r"<tr>\s*<th>\d</th>.*?</tr>", displayed[-1]._repr_html_(), re.DOTALL)
    assert [row.count("<td></td>") for row in rows] == [2, 0]
