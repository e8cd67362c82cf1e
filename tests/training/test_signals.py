from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lenet5 import History
from lenet5.runtime.distributed import Processes

if TYPE_CHECKING:
    from tests.training.conftest import Tiny


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_the_run_after_the_step_and_leaves_a_checkpoint_to_resume(tiny: Tiny, tmp_path: Path) -> None:
    uninterrupted = tiny.trainer(tiny.config())
    uninterrupted.fit(tiny.images(), tiny.images(12))
    config = tiny.config(checkpoint_dir=tmp_path)
    stopped = tiny.trainer(config, stop_after=6, end=press_ctrl_c)
    history = stopped.fit(tiny.images(), tiny.images(12))
    assert history.interrupted
    assert len(history) == 1
    assert (stopped.state.epoch, stopped.state.step, stopped.state.finished) == (1, 2, False)
    assert not stopped.model.training
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    resumed = tiny.trainer(config)
    assert not resumed.fit(tiny.images(), tiny.images(12), resume="auto").interrupted
    assert tiny.first_step(resumed) == 6
    assert tiny.outcome(resumed) == tiny.outcome(uninterrupted)


def test_second_ctrl_c_raises_at_once(tiny: Tiny) -> None:
    def press_twice() -> None:
        press_ctrl_c()
        press_ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        tiny.trainer(tiny.config(), stop_after=2, end=press_twice).fit(tiny.images())


def test_ctrl_c_during_synchronisation_stops_at_the_next_step(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_max(_processes: Processes, *numbers: int) -> list[int]:
        calls.append(1)
        if len(calls) == 3:
            press_ctrl_c()
        return list(numbers)

    calls: list[int] = []
    monkeypatch.setattr(Processes, "all_max", all_max)
    trainer = tiny.trainer(tiny.config())
    assert trainer.fit(tiny.images()).interrupted
    assert trainer.state.step == 3


def test_sigterm_writes_a_checkpoint_and_exits_with_143(tiny: Tiny, tmp_path: Path) -> None:
    trainer = tiny.trainer(
        tiny.config(checkpoint_dir=tmp_path), stop_after=5, end=lambda: signal.raise_signal(signal.SIGTERM)
    )
    with pytest.raises(SystemExit) as caught:
        trainer.fit(tiny.images())
    assert caught.value.code == 143
    assert tiny.checkpoints(tmp_path) == [4, 5]


def test_ignored_signal_stays_ignored(tiny: Tiny) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    history = tiny.trainer(tiny.config(), stop_after=2, end=press_ctrl_c).fit(tiny.images())
    assert (len(history), history.interrupted) == (3, False)


def test_handler_that_python_did_not_install_stays(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda _: None)  # what it returns for such a handler
    monkeypatch.setattr(signal, "signal", lambda *_: pytest.fail("a handler was replaced"))
    assert len(tiny.trainer(tiny.config()).fit(tiny.images())) == 3


def test_fit_works_in_a_thread_without_handling_signals(tiny: Tiny) -> None:
    histories: list[History] = []
    thread = threading.Thread(target=lambda: histories.append(tiny.trainer(tiny.config()).fit(tiny.images())))
    thread.start()
    thread.join()
    assert [len(history) for history in histories] == [3]
