"""Stopped and resumed equals never stopped, to the last bit."""

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lenet5 import Augment, Callback, History, ImageDataset, LeNet5, TensorLoader, Trainer, TrainerConfig
from lenet5.runtime.checkpoint import read_checkpoint, write_checkpoint
from lenet5.runtime.distributed import Processes
from lenet5.training.checkpoints import find_checkpoint
from lenet5.training.history import Row

CONFIG = TrainerConfig(max_epochs=3, batch_size=8, device="cpu", lr=0.02)


class Stopped(Exception):  # noqa: N818
    """Stands for whatever ends a process."""


class StopAt(Callback):
    """Ends a training in a given way after a given number of steps; counts them across resumes."""

    def __init__(self, last: int | None = None, end: Callable[[], None] | None = None) -> None:
        self.count, self.last, self.end = 0, last, end
        self.began = 0

    def on_fit_start(self, trainer: Trainer) -> None:
        assert trainer.state is not None
        self.began = trainer.state.epoch * trainer.state.num_steps + trainer.state.step

    def on_step_end(self, trainer: Trainer) -> None:
        self.count += 1
        if self.count == self.last:
            (self.end or self.stop)()

    @staticmethod
    def stop() -> None:
        raise Stopped

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "note": ("kept", 1.5, None, torch.ones(2))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        assert state["note"][:3] == ("kept", 1.5, None)


class Noisy(Dataset[tuple[Tensor, Tensor]]):
    """A dataset whose transforms draw from every global generator."""

    def __len__(self) -> int:
        return 30

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        noise = random.random() + np.random.rand() + torch.rand(())  # noqa: NPY002
        return images().images[index].float() / 255 + noise, images().targets[index]


def images(count: int = 30) -> ImageDataset:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 1, 6, 6), generator=generator, dtype=torch.uint8)
    return ImageDataset(pixels, torch.arange(count) % 3, classes="abc", transform=lambda batch: batch.float() / 255)


def make(config: TrainerConfig, stop: StopAt) -> Trainer:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))
    return Trainer(model, config, callbacks=[stop])


def source(kind: str) -> Any:
    if kind == "dataset":
        return Noisy()
    if kind == "shuffled":
        return images()
    augment = Augment() if kind == "augmented" else None
    return TensorLoader(images(), batch_size=8, shuffle=augment is not None, augment=augment, seed=2)


def newest(folder: Path) -> int:
    """The number of steps after which the newest checkpoint was taken."""
    return max((int(path.name.removeprefix("step-")) for path in folder.glob("step-*")), default=0)


def began(trainer: Trainer) -> int:
    """The number of steps after which the last fit began."""
    callback = trainer.callbacks[0]
    assert isinstance(callback, StopAt)
    return callback.began


def outcome(trainer: Trainer) -> tuple[dict[str, list[Any]], list[Row], int | None]:
    state = {name: tensor.tolist() for name, tensor in trainer.model.state_dict().items()}
    return state, trainer.history.rows, trainer.history.best_epoch


@settings(max_examples=60)
@given(
    stop=st.integers(1, 12),
    every=st.integers(1, 5),
    kind=st.sampled_from(["shuffled", "in order", "augmented", "dataset"]),
    accumulate=st.integers(1, 3),
    average=st.sampled_from([{}, {"ema_decay": 0.5}, {"swa_epochs": 2}]),
    schedule=st.sampled_from(["one_cycle", "cosine", "step", "constant"]),
    precision=st.sampled_from(["float32", "bfloat16", "float16"]),
    patience=st.sampled_from([None, 1]),
    validated=st.booleans(),
)
def test_a_training_that_was_stopped_anywhere_goes_on_as_if_it_never_was(
    stop: int,
    every: int,
    kind: str,
    accumulate: int,
    average: dict[str, Any],
    schedule: Literal["one_cycle", "cosine", "step", "constant"],
    precision: Literal["float32", "bfloat16", "float16"],
    patience: int | None,
    validated: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    val = images(12) if validated else None
    config = replace(
        CONFIG,
        accumulate_steps=accumulate,
        schedule=schedule,
        warmup=0.25,
        precision=precision,
        label_smoothing=0.1,
        max_grad_norm=1.0,
        patience=patience if validated else None,
        **average,
    )
    undisturbed = make(config, StopAt())
    undisturbed.fit(source(kind), val)

    folder = tmp_path_factory.mktemp("run")
    config = replace(config, checkpoint_dir=folder, checkpoint_steps=every)
    with contextlib.suppress(Stopped):
        make(config, StopAt(stop)).fit(source(kind), val)
    place = newest(folder)
    assert place >= (stop - 1) // 4 * 4 or patience  # at least that of the last epoch's end
    resumed = make(config, StopAt())
    resumed.fit(source(kind), val, resume="auto")
    assert began(resumed) == place
    assert outcome(resumed) == outcome(undisturbed)


def test_a_loader_that_is_not_ours_is_resumed_at_the_start_of_the_epoch_and_this_is_said(tmp_path: Path) -> None:
    def loader() -> DataLoader[Any]:
        return DataLoader(Noisy(), batch_size=8, shuffle=True)

    undisturbed = make(CONFIG, StopAt())
    undisturbed.fit(loader())
    config = replace(CONFIG, checkpoint_dir=tmp_path, checkpoint_steps=1)
    said = "an epoch of DataLoader cannot be continued in its middle, so checkpoints are taken only at its end"
    with pytest.warns(UserWarning, match=said) as warned, pytest.raises(Stopped):
        make(config, StopAt(6)).fit(loader())
    assert warned[0].filename == __file__
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000004"]
    resumed = make(config, StopAt())
    with pytest.warns(UserWarning, match=said):
        resumed.fit(loader(), resume="auto")
    assert began(resumed) == 4
    assert outcome(resumed) == outcome(undisturbed)


class Remembering(Iterable[Any]):
    """A loader that knows how far it is, and shuffles by a generator of its own."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(3)
        self.order, self.place = list(range(4)), 4

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[Any]:
        if self.place == 4:
            self.order, self.place = torch.randperm(4, generator=self.generator).tolist(), 0
        torch.rand(())  # as a DataLoader draws a seed for its workers
        return self.rest()

    def rest(self) -> Iterator[Any]:
        while self.place < 4:
            number = self.order[self.place]
            self.place += 1
            yield tuple(
                torch.stack(part) for part in zip(*(Noisy()[index] for index in range(number, 30, 4)), strict=True)
            )

    def state_dict(self) -> dict[str, Any]:
        return {"order": self.order, "place": self.place, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order, self.place = state["order"], state["place"]
        self.generator.set_state(state["generator"])


@pytest.mark.parametrize("place", [2, 4, 7])
def test_a_loader_with_a_state_is_resumed_where_it_was(place: int, tmp_path: Path) -> None:
    undisturbed = make(CONFIG, StopAt())
    undisturbed.fit(Remembering())
    config = replace(CONFIG, checkpoint_dir=tmp_path, checkpoint_steps=1)
    with pytest.raises(Stopped):
        make(config, StopAt(place + 1)).fit(Remembering())
    resumed = make(config, StopAt())
    resumed.fit(Remembering(), resume="auto")
    assert began(resumed) == place
    assert outcome(resumed) == outcome(undisturbed)


def test_ctrl_c_ends_after_the_step_and_leaves_what_can_be_resumed(tmp_path: Path) -> None:
    undisturbed = make(CONFIG, StopAt())
    undisturbed.fit(images(), images(12))
    config = replace(CONFIG, checkpoint_dir=tmp_path)
    stopped = make(config, StopAt(6, lambda: signal.raise_signal(signal.SIGINT)))
    history = stopped.fit(images(), images(12))
    assert history.interrupted
    assert len(history) == 1
    assert stopped.state is not None
    assert (stopped.state.epoch, stopped.state.step) == (1, 2)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    resumed = make(config, StopAt())
    assert not resumed.fit(images(), images(12), resume="auto").interrupted
    assert began(resumed) == 6
    assert outcome(resumed) == outcome(undisturbed)


def test_a_signal_is_heard_also_while_the_processes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_max(_self: Processes, *numbers: int) -> list[int]:
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return list(numbers)

    calls: list[int] = []
    monkeypatch.setattr(Processes, "all_max", all_max)
    trainer = make(CONFIG, StopAt())
    assert trainer.fit(images()).interrupted
    assert trainer.state is not None
    assert trainer.state.step == 3


def test_a_training_that_a_callback_ended_stays_ended(tmp_path: Path) -> None:
    class Enough(StopAt):
        def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
            trainer.should_stop = row["epoch"] == 2

    config = replace(CONFIG, checkpoint_dir=tmp_path)
    ended = make(config, Enough())
    assert len(ended.fit(images(), images(12))) == 2
    again = make(config, Enough())
    again.fit(images(), images(12), resume="auto")
    assert outcome(again) == outcome(ended)


def test_the_last_checkpoint_has_the_best_weights(tmp_path: Path) -> None:
    class Spoil(StopAt):
        def on_step_end(self, trainer: Trainer) -> None:
            if trainer.state and trainer.state.epoch == 2:
                for parameter in trainer.model.parameters():
                    parameter.data.fill_(-9.0)

    trainer = make(replace(CONFIG, checkpoint_dir=tmp_path), Spoil())
    trainer.fit(images(), images(12))
    assert trainer.history.best_epoch in (1, 2)
    loaded = Trainer.load(tmp_path, model=make(CONFIG, StopAt()).model, callbacks=[StopAt()])
    assert outcome(loaded) == outcome(trainer)


def test_a_second_ctrl_c_raises_at_once() -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        make(CONFIG, StopAt(2, twice)).fit(images())


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    history = make(CONFIG, StopAt(2, lambda: signal.raise_signal(signal.SIGINT))).fit(images())
    assert (len(history), history.interrupted) == (3, False)


def test_another_thread_may_train_and_hears_no_signal() -> None:
    histories: list[History] = []
    thread = threading.Thread(target=lambda: histories.append(make(CONFIG, StopAt()).fit(images())))
    thread.start()
    thread.join()
    assert [len(history) for history in histories] == [3]


def test_sigterm_saves_and_exits_with_143(tmp_path: Path) -> None:
    config = replace(CONFIG, checkpoint_dir=tmp_path)
    with pytest.raises(SystemExit) as caught:
        make(config, StopAt(5, lambda: signal.raise_signal(signal.SIGTERM))).fit(images())
    assert caught.value.code == 143
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000004", "step-00000005"]


class Tell(Callback):
    def on_step_end(self, trainer: Trainer) -> None:
        assert trainer.state is not None
        print(trainer.state.step, flush=True)


def train_in(folder: str) -> int:
    """Train to the end, from the newest checkpoint if there is one, and save the weights; return where it began."""
    config = replace(CONFIG, checkpoint_dir=Path(folder) / "checkpoints", checkpoint_steps=1)
    trainer = make(config, StopAt())
    trainer.callbacks.append(Tell())
    trainer.fit(source("augmented"), images(12), resume="auto")
    trainer.save(Path(folder) / "saved")
    return began(trainer)


def test_kill_9_loses_nothing_but_the_step_it_falls_into(tmp_path: Path) -> None:
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_resume"
    command = [sys.executable, "-c", f"{program}; test_resume.train_in({str(tmp_path / 'killed')!r})"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(5):
            assert process.stdout.readline()
        process.kill()
    assert not (tmp_path / "killed" / "saved").exists()
    place = newest(tmp_path / "killed" / "checkpoints")
    assert place >= 4
    assert train_in(str(tmp_path / "killed")) == place
    train_in(str(tmp_path / "undisturbed"))
    weights = [tmp_path / name / "saved" / "model.safetensors" for name in ("undisturbed", "killed")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


# Checkpoints that cannot be used


@pytest.fixture
def stopped(tmp_path: Path) -> TrainerConfig:
    config = replace(CONFIG, checkpoint_dir=tmp_path, checkpoint_steps=1, keep_checkpoints=3)
    with pytest.raises(Stopped):
        make(config, StopAt(6)).fit(images())
    return config


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "state.json", "state.safetensors"])
@pytest.mark.parametrize("how", ["flip", "truncate", "remove"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning_that_names_it(
    stopped: TrainerConfig, name: str, how: str
) -> None:
    undisturbed = make(CONFIG, StopAt())
    undisturbed.fit(images())
    newest = Path(str(stopped.checkpoint_dir)) / "step-00000005"
    data = bytearray((newest / name).read_bytes())
    if how == "remove":
        (newest / name).unlink()
    else:
        data[len(data) // 2] ^= 1
        (newest / name).write_bytes(data if how == "flip" else data[: len(data) // 2])
    resumed = make(stopped, StopAt())
    with pytest.warns(UserWarning, match=r"the checkpoint .*step-00000005 is passed over: .*"):
        resumed.fit(images(), resume="auto")
    assert outcome(resumed) == outcome(undisturbed)


def test_a_damaged_checkpoint_that_was_asked_for_is_refused(stopped: TrainerConfig) -> None:
    newest = Path(str(stopped.checkpoint_dir)) / "step-00000005"
    (newest / "state.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="state.safetensors is damaged or was edited: expected sha256"):
        make(stopped, StopAt()).fit(images(), resume=newest)


def test_a_format_of_the_future_is_refused(stopped: TrainerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lenet5.runtime.checkpoint._FORMAT", 3)
    with pytest.raises(ValueError, match="has format 2; expected 3"):
        make(stopped, StopAt()).fit(images(), resume=Path(str(stopped.checkpoint_dir)) / "step-00000005")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.5}, "lr was 0.02 there and is 0.5 here"),
        ({"max_epochs": 9}, "max_epochs was 3 there and is 9 here"),
        ({"seed": 1}, "seed was 0 there and is 1 here"),
    ],
)
def test_another_training_is_not_continued(stopped: TrainerConfig, changes: dict[str, Any], message: str) -> None:
    other = make(replace(stopped, **changes), StopAt())
    before = outcome(other)
    with pytest.raises(ValueError, match=f"the checkpoint is of another training: {message}"):
        other.fit(images(), resume="auto")
    assert outcome(other) == before


def test_data_of_another_length_is_not_continued(stopped: TrainerConfig) -> None:
    with pytest.raises(ValueError, match="batches per epoch was 4 there and is 3 here"):
        make(stopped, StopAt()).fit(images(24), resume="auto")


def test_another_model_is_refused(stopped: TrainerConfig) -> None:
    with pytest.raises(ValueError, match="of another training|does not fit|doesn't match"):
        Trainer(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), stopped, callbacks=[StopAt()]).fit(
            images(), resume="auto"
        )


def test_auto_begins_anew_where_there_is_no_checkpoint(tmp_path: Path) -> None:
    trainer = make(replace(CONFIG, checkpoint_dir=tmp_path / "new"), StopAt())
    assert len(trainer.fit(images(), resume="auto")) == 3


def test_auto_needs_a_folder() -> None:
    with pytest.raises(ValueError, match="resume is 'auto', but the settings name no checkpoint_dir"):
        make(CONFIG, StopAt()).fit(images(), resume="auto")


def test_a_path_without_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no whole checkpoint at"):
        make(CONFIG, StopAt()).fit(images(), resume=tmp_path)


def test_a_restarted_process_continues_its_own_training_and_no_other(
    stopped: TrainerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job")
    own = replace(stopped, checkpoint_dir=tmp_path / "own")
    with pytest.raises(Stopped):
        make(own, StopAt(6)).fit(images())
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    resumed = make(own, StopAt())
    resumed.fit(images())
    assert began(resumed) == 5
    with pytest.raises(ValueError, match="holds the checkpoints of an earlier training"):
        make(stopped, StopAt()).fit(images())


def test_another_optimizer_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    def fit(optimizer: Any, *, groups: int = 1, last: int | None = None) -> None:
        def factory(parameters: Any) -> torch.optim.Optimizer:
            parts = list(parameters)
            if groups == 1:
                return cast("torch.optim.Optimizer", optimizer(parts, lr=0.1))
            return cast("torch.optim.Optimizer", optimizer([{"params": parts[:1]}, {"params": parts[1:]}], lr=0.1))

        model = make(CONFIG, StopAt()).model
        before = outcome_of(model)
        trainer = Trainer(model, replace(CONFIG, checkpoint_dir=tmp_path), callbacks=[StopAt(last)], optimizer=factory)
        try:
            trainer.fit(images(), resume="auto")
        except ValueError:
            assert outcome_of(model) == before
            raise

    def outcome_of(model: nn.Module) -> list[Any]:
        return [tensor.tolist() for tensor in model.state_dict().values()]

    with pytest.raises(Stopped):
        fit(torch.optim.SGD, last=6)
    said = r"what the optimization is made of was .*SGD.* there and is"
    with pytest.raises(ValueError, match=rf"{said} .*'Adam'"):
        fit(torch.optim.Adam)
    with pytest.raises(ValueError, match=rf"{said} .*'groups': \[1, 5\]"):
        fit(torch.optim.SGD, groups=2)
    fit(torch.optim.SGD)


def test_a_callback_that_cannot_be_restored_leaves_the_model_as_it_was(stopped: TrainerConfig) -> None:
    class Changed(StopAt):
        def load_state_dict(self, state: dict[str, Any]) -> None:
            raise KeyError("counter")

    Changed.__name__ = "StopAt"
    trainer = make(stopped, Changed())
    before = outcome(trainer)
    with pytest.raises(KeyError, match="counter"):
        trainer.fit(images(), resume="auto")
    assert outcome(trainer) == before


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_part_of_the_parameters_can_be_trained_and_resumed(
    precision: Literal["float32", "float16"], tmp_path: Path
) -> None:
    def train(config: TrainerConfig, last: int | None = None) -> Trainer:
        trainer = make(replace(config, precision=precision, max_grad_norm=0.5), StopAt(last))
        head = list(trainer.model.children())[4].parameters()
        trainer.optimizer = lambda _parameters: torch.optim.SGD(head, lr=0.5)
        trainer.fit(images(), resume=None if config.checkpoint_dir is None else "auto")
        return trainer

    untrained, undisturbed = make(CONFIG, StopAt()), train(CONFIG)
    config = replace(CONFIG, checkpoint_dir=tmp_path, checkpoint_steps=1)
    with pytest.raises(Stopped):
        train(config, 6)
    assert outcome(train(config)) == outcome(undisturbed)
    before, after = (trainer.model.state_dict() for trainer in (untrained, undisturbed))
    assert (after["4.weight"] - before["4.weight"]).abs().max() > 0.01
    assert torch.equal(after["1.weight"], before["1.weight"])


def test_saving_within_an_accumulation_is_refused(tmp_path: Path) -> None:
    class Save(StopAt):
        def on_step_end(self, trainer: Trainer) -> None:
            trainer.save(tmp_path / "saved")

    with pytest.raises(
        ValueError, match="epoch 1 has taken 1 of 4 steps, and the last of them have not come to an opt"
    ):
        make(replace(CONFIG, accumulate_steps=2), Save()).fit(images())
    assert not (tmp_path / "saved").exists()


def test_a_fresh_training_does_not_mix_its_checkpoints_with_those_of_another(stopped: TrainerConfig) -> None:
    with pytest.raises(ValueError, match="holds the checkpoints of an earlier training; expected an empty folder"):
        make(stopped, StopAt()).fit(images())


def test_another_order_of_the_data_is_not_continued(stopped: TrainerConfig) -> None:
    loader = TensorLoader(images(), batch_size=8, shuffle=True, seed=7)
    with pytest.raises(ValueError, match=r"the source of batches was .*seed=0.* there and is .*seed=7"):
        make(stopped, StopAt()).fit(loader, resume="auto")


def test_callbacks_without_a_state_may_come_and_go(stopped: TrainerConfig) -> None:
    resumed = make(stopped, StopAt())
    resumed.callbacks.append(Callback())
    assert len(resumed.fit(images(), resume="auto")) == 3
    with pytest.raises(ValueError, match=r"the list of callbacks with a state was \['StopAt'\] there and is \[\] here"):
        Trainer(resumed.model, stopped).fit(images(), resume="auto")


def test_a_checkpoint_that_was_set_aside_by_a_killed_process_is_found(stopped: TrainerConfig) -> None:
    newest_folder = Path(str(stopped.checkpoint_dir)) / "step-00000005"
    newest_folder.rename(newest_folder.with_name(".step-00000005.old"))
    resumed = make(stopped, StopAt())
    resumed.fit(images(), resume="auto")
    assert began(resumed) == 5


# Writing


def test_the_newest_checkpoints_are_kept_and_leftovers_removed(tmp_path: Path) -> None:
    (tmp_path / ".step-00000001.abandoned").mkdir()
    make(replace(CONFIG, checkpoint_dir=tmp_path, keep_checkpoints=2), StopAt()).fit(images())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000008", "step-00000012"]


def test_the_checkpoint_of_the_best_epoch_is_kept(tmp_path: Path) -> None:
    class BestFirst(StopAt):
        def on_step_end(self, trainer: Trainer) -> None:
            if trainer.state and trainer.state.epoch:
                for parameter in trainer.model.parameters():
                    parameter.data.fill_(-9.0)

    make(replace(CONFIG, checkpoint_dir=tmp_path, keep_checkpoints=1, monitor="val_loss"), BestFirst()).fit(
        images(), images(12)
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000004", "step-00000012"]


def test_a_checkpoint_is_written_when_the_minutes_have_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**6, 25))
    monkeypatch.setattr("lenet5.training.loop.time.monotonic", lambda: next(clock))  # 25 seconds from look to look
    config = replace(CONFIG, checkpoint_dir=tmp_path, checkpoint_minutes=1.0, keep_checkpoints=9, max_epochs=1)
    make(replace(config, batch_size=3), StopAt()).fit(images())
    assert [newest(tmp_path), len(list(tmp_path.iterdir()))] == [10, 4]


def test_a_full_disk_ends_with_its_error_and_the_old_checkpoint_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, checkpoint_dir=tmp_path)

    def fill() -> None:
        def fsync(_handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", fsync)

    with pytest.raises(OSError, match="No space left"):
        make(config, StopAt(6, fill)).fit(images())
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000004"]
    monkeypatch.undo()
    undisturbed, resumed = make(CONFIG, StopAt()), make(config, StopAt())
    undisturbed.fit(images())
    resumed.fit(images(), resume="auto")
    assert began(resumed) == 4
    assert outcome(resumed) == outcome(undisturbed)


def test_a_nan_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    trainer = make(replace(CONFIG, checkpoint_dir=tmp_path), StopAt())
    trainer.loss_fn = lambda logits, targets: (
        nn.functional.cross_entropy(logits, targets) * (float("nan") if trainer.callbacks[0].count > 5 else 1)  # type: ignore[attr-defined]
    )
    with pytest.raises(FloatingPointError, match="epoch 2, step 3 of 4"):
        trainer.fit(images())
    state = find_checkpoint(tmp_path).state
    assert (state["epoch"], state["step"]) == (1, 0)


def test_a_checkpoint_is_a_weights_folder(tmp_path: Path) -> None:
    trainer = Trainer(LeNet5(), CONFIG)
    trainer.save(tmp_path / "saved")
    loaded = LeNet5.from_pretrained(tmp_path / "saved")
    assert torch.equal(loaded.output.weight, trainer.model.output.weight)  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize("what", ["file", "folder"])
def test_nothing_but_a_checkpoint_is_replaced(tmp_path: Path, what: str) -> None:
    path = tmp_path / "thesis"
    if what == "folder":
        path.mkdir()
    (path / "text" if what == "folder" else path).write_text("precious")
    with pytest.raises(ValueError, match="holds other things than a checkpoint; expected a new folder"):
        Trainer(LeNet5(), CONFIG).save(path)
    assert (path / "text" if what == "folder" else path).read_text() == "precious"


def test_tensors_of_the_same_path_are_kept_apart(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "new", nn.Linear(1, 1), {"a": {"b": torch.zeros(2)}, "a.b": torch.ones(2)})
    state = read_checkpoint(tmp_path / "new").state
    assert (state["a"]["b"].tolist(), state["a.b"].tolist()) == ([0, 0], [1, 1])


def test_what_a_checkpoint_cannot_hold_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="state.outer.0.inner is object, which a checkpoint cannot hold"):
        write_checkpoint(tmp_path / "new", nn.Linear(1, 1), {"outer": [{"inner": object()}]})
    assert not list(tmp_path.iterdir())


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(value=plain)
def test_a_state_is_read_back_with_the_same_types(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("state") / "checkpoint"
    write_checkpoint(folder, nn.Linear(1, 1), {"value": value, "array": np.arange(3, dtype=np.uint32)})
    state = read_checkpoint(folder).state
    assert repr(state["value"]) == repr(value)
    assert state["array"].dtype == np.uint32


# Saving and loading a Trainer


def test_a_saved_trainer_is_loaded_with_its_answers_settings_and_history(tmp_path: Path) -> None:
    torch.manual_seed(0)
    train = ImageDataset(
        torch.randint(0, 256, (16, 1, 28, 28), dtype=torch.uint8),
        torch.arange(16) % 10,
        classes="0123456789",
        transform=lambda batch: batch.float() / 255,
    )
    trainer = Trainer(LeNet5(), CONFIG)
    trainer.fit(train, train)
    trainer.save(tmp_path / "saved")
    loaded = Trainer.load(tmp_path / "saved")
    assert torch.equal(loaded.predict(train).probabilities, trainer.predict(train).probabilities)
    assert loaded.config == trainer.config
    assert (loaded.history.rows, loaded.history.best_epoch) == (trainer.history.rows, trainer.history.best_epoch)
    assert not loaded.model.training

    loaded.save(tmp_path / "again")
    assert Trainer.load(tmp_path / "again").history.rows == trainer.history.rows
    assert loaded.fit(train, train, resume=tmp_path / "saved").rows == trainer.history.rows  # it had ended


def test_a_trainer_of_any_module_is_loaded_into_such_a_module(tmp_path: Path) -> None:
    trainer = make(CONFIG, StopAt())
    trainer.fit(images())
    trainer.save(tmp_path / "saved")
    with pytest.raises(ValueError, match="describes the architecture 'Sequential'; expected one of"):
        Trainer.load(tmp_path / "saved")
    other = make(CONFIG, StopAt()).model
    loaded = Trainer.load(tmp_path / "saved", model=other, device="cpu", callbacks=[StopAt()])
    assert outcome(loaded)[0] == outcome(trainer)[0]


def test_a_trainer_that_has_not_trained_is_saved_too_and_has_nothing_to_resume(tmp_path: Path) -> None:
    Trainer(LeNet5(), CONFIG).save(tmp_path / "saved")
    assert isinstance(Trainer.load(tmp_path / "saved").history, History)
    with pytest.raises(ValueError, match="holds a Trainer that had not begun to train"):
        Trainer(LeNet5(), CONFIG).fit(images(), resume=tmp_path / "saved")


def test_saving_replaces_what_was_there(tmp_path: Path) -> None:
    for seed in (1, 2):
        Trainer(LeNet5(), replace(CONFIG, seed=seed)).save(tmp_path / "saved")
    assert Trainer.load(tmp_path / "saved").config.seed == 2
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    assert json.loads((tmp_path / "saved" / "state.json").read_text())["format"] == 2


def test_loading_from_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no whole checkpoint at"):
        Trainer.load(tmp_path / "nothing")
