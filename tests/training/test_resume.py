"""A run that was stopped and resumed is bit-identical to an uninterrupted run."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from lenet5 import Callback, Trainer, TrainerConfig, TrainingState
from lenet5.training.history import Row

if TYPE_CHECKING:
    from tests.training.conftest import Tiny


@settings(max_examples=60)
@given(
    stop_after=st.integers(1, 12),
    every=st.integers(1, 5),
    kind=st.sampled_from(["images", "in order", "augmented", "noisy dataset"]),
    accumulate_steps=st.integers(1, 3),
    average=st.sampled_from([{}, {"ema_decay": 0.5}, {"swa_epochs": 2}]),
    schedule=st.sampled_from(["one_cycle", "cosine", "step", "constant"]),
    precision=st.sampled_from(["float32", "bfloat16", "float16"]),
    patience=st.sampled_from([None, 1]),
    validated=st.booleans(),
)
def test_run_stopped_at_any_step_resumes_exactly(
    stop_after: int,
    every: int,
    kind: str,
    accumulate_steps: int,
    average: dict[str, Any],
    schedule: str,
    precision: str,
    patience: int | None,
    validated: bool,
    tiny: Tiny,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    val = tiny.images(12) if validated else None
    config = tiny.config(
        accumulate_steps=accumulate_steps,
        schedule=schedule,
        warmup=0.25,
        precision=precision,
        label_smoothing=0.1,
        max_grad_norm=1.0,
        patience=patience if validated else None,
        **average,
    )
    uninterrupted = tiny.trainer(config)
    uninterrupted.fit(tiny.source(kind), val)

    folder = tmp_path_factory.mktemp("run")
    config = replace(config, checkpoint_dir=folder, checkpoint_steps=every)
    with contextlib.suppress(InterruptedError):
        tiny.trainer(config, stop_after=stop_after).fit(tiny.source(kind), val)
    latest = max(tiny.checkpoints(folder), default=0)
    assert latest >= (stop_after - 1) // 4 * 4 or patience  # at least the end of the last complete epoch
    resumed = tiny.trainer(config)
    resumed.fit(tiny.source(kind), val, resume="auto")
    assert tiny.first_step(resumed) == latest
    assert tiny.outcome(resumed) == tiny.outcome(uninterrupted)


def test_dataloader_resumes_at_the_start_of_an_epoch_and_warns(tiny: Tiny, tmp_path: Path) -> None:
    def loader() -> DataLoader[Any]:
        return DataLoader(tiny.source("noisy dataset"), batch_size=8, shuffle=True)

    uninterrupted = tiny.trainer(tiny.config())
    uninterrupted.fit(loader())
    config = tiny.config(checkpoint_dir=tmp_path, checkpoint_steps=1)
    message = (
        "a DataLoader cannot continue in the middle of an epoch, so checkpoints are written only at the end of an epoch"
    )
    with pytest.warns(UserWarning, match=message) as warned, pytest.raises(InterruptedError):
        tiny.trainer(config, stop_after=6).fit(loader())
    assert warned[0].filename == __file__
    assert tiny.checkpoints(tmp_path) == [4]
    resumed = tiny.trainer(config)
    with pytest.warns(UserWarning, match=message):
        resumed.fit(loader(), resume="auto")
    assert tiny.first_step(resumed) == 4
    assert tiny.outcome(resumed) == tiny.outcome(uninterrupted)


class StatefulLoader(Iterable[Any]):
    """A loader that can save and restore its position, and shuffles with its own generator."""

    def __init__(self, dataset: Dataset[tuple[Tensor, Tensor]]) -> None:
        self.dataset = dataset
        self.generator = Generator().manual_seed(3)
        self.order, self.position = list(range(4)), 4

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[Any]:
        if self.position == 4:
            self.order, self.position = torch.randperm(4, generator=self.generator).tolist(), 0
        torch.rand(())  # a DataLoader draws a seed for its workers
        return self.remaining()

    def remaining(self) -> Iterator[Any]:
        while self.position < 4:
            first = self.order[self.position]
            self.position += 1
            yield tuple(
                torch.stack(part) for part in zip(*(self.dataset[index] for index in range(first, 30, 4)), strict=True)
            )

    def state_dict(self) -> dict[str, Any]:
        return {"order": self.order, "position": self.position, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order, self.position = state["order"], state["position"]
        self.generator.set_state(state["generator"])


@pytest.mark.parametrize("latest", [2, 4, 7])
def test_stateful_loader_resumes_in_the_middle_of_an_epoch(tiny: Tiny, latest: int, tmp_path: Path) -> None:
    def loader() -> StatefulLoader:
        return StatefulLoader(tiny.source("noisy dataset"))

    uninterrupted = tiny.trainer(tiny.config())
    uninterrupted.fit(loader())
    config = tiny.config(checkpoint_dir=tmp_path, checkpoint_steps=1)
    with pytest.raises(InterruptedError):
        tiny.trainer(config, stop_after=latest + 1).fit(loader())
    resumed = tiny.trainer(config)
    resumed.fit(loader(), resume="auto")
    assert tiny.first_step(resumed) == latest
    assert tiny.outcome(resumed) == tiny.outcome(uninterrupted)


def test_kill_9_loses_only_the_step_in_progress(tmp_path: Path) -> None:
    def command(name: str) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("resume_worker.py")), str(tmp_path / name)]

    with subprocess.Popen(command("killed"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for step in range(6):
            assert process.stdout.readline() == f"{step}\n"
        process.kill()
    assert not (tmp_path / "killed" / "saved").exists()
    checkpoints = (tmp_path / "killed" / "checkpoints").glob("step-*")
    latest = max(int(path.name.removeprefix("step-")) for path in checkpoints)
    assert latest >= 4
    outputs = {name: subprocess.check_output(command(name), text=True) for name in ("killed", "uninterrupted")}
    assert [int(output.split()[0]) for output in outputs.values()] == [latest, 0]
    killed, uninterrupted = ((tmp_path / name / "saved" / "model.safetensors").read_bytes() for name in outputs)
    assert killed == uninterrupted


def test_run_that_a_callback_stopped_stays_stopped(tiny: Tiny, tmp_path: Path) -> None:
    class StopAfterTwoEpochs(Callback):
        def on_epoch_end(self, state: TrainingState, row: Row) -> None:
            state.should_stop = row["epoch"] == 2

    config = tiny.config(checkpoint_dir=tmp_path)
    stopped = tiny.trainer(config, callbacks=[StopAfterTwoEpochs()])
    assert len(stopped.fit(tiny.images(), tiny.images(12))) == 2
    resumed = tiny.trainer(config, callbacks=[StopAfterTwoEpochs()])
    resumed.fit(tiny.images(), tiny.images(12), resume="auto")
    assert tiny.outcome(resumed) == tiny.outcome(stopped)
    assert resumed.state.finished


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_run_with_frozen_layers_resumes_exactly(
    tiny: Tiny, precision: Literal["float32", "float16"], tmp_path: Path
) -> None:
    def train(config: TrainerConfig, stop_after: int | None = None) -> Trainer:
        trainer = tiny.trainer(replace(config, precision=precision, max_grad_norm=0.5), stop_after=stop_after)
        head = list(trainer.model.children())[4].parameters()
        trainer.optimizer = lambda _parameters: torch.optim.SGD(head, lr=0.5)
        trainer.fit(tiny.images(), resume=None if config.checkpoint_dir is None else "auto")
        return trainer

    uninterrupted = train(tiny.config())
    config = tiny.config(checkpoint_dir=tmp_path, checkpoint_steps=1)
    with pytest.raises(InterruptedError):
        train(config, stop_after=6)
    assert tiny.outcome(train(config)) == tiny.outcome(uninterrupted)
    before, after = (model.state_dict() for model in (tiny.noisy_model(), uninterrupted.model))
    assert (after["4.weight"] - before["4.weight"]).abs().max() > 0.01
    assert torch.equal(after["1.weight"], before["1.weight"])


def test_restarted_process_resumes_its_own_run_only(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, foreign = (
        tiny.config(checkpoint_dir=tmp_path / name, checkpoint_steps=1, keep_checkpoints=3)
        for name in ("own", "foreign")
    )
    with pytest.raises(InterruptedError):
        tiny.trainer(foreign, stop_after=6).fit(tiny.images())
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job")
    with pytest.raises(InterruptedError):
        tiny.trainer(own, stop_after=6).fit(tiny.images())
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    resumed = tiny.trainer(own)
    resumed.fit(tiny.images())
    assert tiny.first_step(resumed) == 5
    with pytest.raises(ValueError, match="holds checkpoints of an earlier run"):
        tiny.trainer(foreign).fit(tiny.images())
