from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import torch

from lenet5 import Callback, CSVLogger, Profiler, TensorBoardLogger, Trainer
from lenet5.runtime.distributed import Processes

if TYPE_CHECKING:
    from tests.instruments.conftest import Tiny


each_instrument = pytest.mark.parametrize(
    "make",
    [lambda folder: CSVLogger(folder / "history.csv"), TensorBoardLogger, lambda folder: Profiler(folder, skip=1)],
    ids=["CSVLogger", "TensorBoardLogger", "Profiler"],
)


@each_instrument
def test_instruments_do_not_change_the_run(tiny: Tiny, make: Callable[[Path], Callback], tmp_path: Path) -> None:
    plain = Trainer(tiny.model(), tiny.config)
    observed = Trainer(tiny.model(), tiny.config, callbacks=[make(tmp_path)])
    histories = [trainer.fit(tiny.examples(), tiny.examples(9)).rows for trainer in (plain, observed)]
    assert histories[0] == histories[1]
    for expected, actual in zip(plain.model.parameters(), observed.model.parameters(), strict=True):
        assert torch.equal(expected, actual)


@each_instrument
@pytest.mark.parametrize("is_main", [True, False])
def test_instruments_write_on_rank_0_only(
    tiny: Tiny, make: Callable[[Path], Callback], is_main: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Processes, "is_main", is_main)
    Trainer(tiny.model(), tiny.config, callbacks=[make(tmp_path)]).fit(tiny.examples())
    assert any(tmp_path.iterdir()) == is_main


def test_csv_file_has_every_epoch_once_after_a_resume(
    tiny: Tiny, stop_after: Callable[[int], Callback], tmp_path: Path
) -> None:
    config = replace(tiny.config, checkpoint_dir=tmp_path / "checkpoints")
    path = tmp_path / "logs" / "history.csv"
    with pytest.raises(InterruptedError):
        Trainer(tiny.model(), config, callbacks=[CSVLogger(path), stop_after(6)]).fit(tiny.examples(), tiny.examples(9))
    assert pd.read_csv(path)["epoch"].tolist() == [1]
    trainer = Trainer(tiny.model(), config, callbacks=[CSVLogger(path)])
    history = trainer.fit(tiny.examples(), tiny.examples(9), resume="auto")
    pd.testing.assert_frame_equal(pd.read_csv(path), history.to_frame())
    assert [entry.name for entry in path.parent.iterdir()] == ["history.csv"]


def test_tensorboard_shows_metrics_and_learning_rate_once_after_a_resume(
    tiny: Tiny, stop_after: Callable[[int], Callback], tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def logger() -> TensorBoardLogger:
        return TensorBoardLogger(tmp_path / "events", every=2)

    config = replace(tiny.config, checkpoint_dir=tmp_path / "checkpoints")
    with pytest.raises(InterruptedError):
        Trainer(tiny.model(), config, callbacks=[logger(), stop_after(7)]).fit(tiny.examples())
    history = Trainer(tiny.model(), config, callbacks=[logger()]).fit(tiny.examples(), resume="auto")
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert events.Tags()["scalars"] == ["lr", "train_loss"]
    assert [event.step for event in events.Scalars("lr")] == [2, 4, 6, 8, 10, 12]  # step 6 was logged twice
    assert [event.step for event in events.Scalars("train_loss")] == [4, 8, 12]
    losses = [row["train_loss"] for row in history]
    assert [event.value for event in events.Scalars("train_loss")] == pytest.approx(losses)


def test_tensorboard_logger_rejects_a_step_interval_below_1(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every is 0; expected at least 1"):
        TensorBoardLogger(tmp_path, every=0)


@each_instrument
def test_instruments_expand_the_home_folder(
    tiny: Tiny, make: Callable[[Path], Callback], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    Trainer(tiny.model(), tiny.config, callbacks=[make(Path("~/logs"))]).fit(tiny.examples())
    assert any((tmp_path / "logs").iterdir())
    assert not any((tmp_path / "elsewhere").iterdir())


def test_csv_file_that_cannot_be_written_is_found_before_the_first_step(
    tiny: Tiny, stop_after: Callable[[int], Callback], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    logger = CSVLogger(tmp_path / "file" / "history.csv")
    with pytest.raises(OSError, match="file"):
        Trainer(tiny.model(), tiny.config, callbacks=[logger, stop_after(1)]).fit(tiny.examples())
