from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from lenet5 import Callback, LeNet5, TrainerConfig, TrainingState
from lenet5.training.checkpoints import decode, encode, find_checkpoint, read_checkpoint, write_checkpoint

if TYPE_CHECKING:
    from tests.training.conftest import Tiny


@pytest.fixture
def stopped(tiny: Tiny, tmp_path: Path) -> TrainerConfig:
    """Return the config of a run that was stopped after 6 steps, with checkpoints after 3, 4 and 5."""
    config = tiny.config(checkpoint_dir=tmp_path, checkpoint_steps=1, keep_checkpoints=3)
    with pytest.raises(InterruptedError):
        tiny.trainer(config, stop_after=6).fit(tiny.images())
    assert tiny.checkpoints(tmp_path) == [3, 4, 5]
    return config


@pytest.fixture
def latest(tmp_path: Path) -> Path:
    """Return the path of the latest of these checkpoints."""
    return tmp_path / "step-00000005"


# Finding a checkpoint


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "state.json", "state.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damaged_checkpoint_is_skipped_with_a_warning(
    tiny: Tiny, stopped: TrainerConfig, latest: Path, name: str, damage: str
) -> None:
    uninterrupted = tiny.trainer(tiny.config())
    uninterrupted.fit(tiny.images())
    data = bytearray((latest / name).read_bytes())
    if damage == "remove":
        (latest / name).unlink()
    else:
        data[len(data) // 2] ^= 1
        (latest / name).write_bytes(data if damage == "flip" else data[: len(data) // 2])
    resumed = tiny.trainer(stopped)
    with pytest.warns(UserWarning, match=r"skipping the damaged checkpoint .*step-00000005: .*"):
        resumed.fit(tiny.images(), resume="auto")
    assert tiny.first_step(resumed) == 4
    assert tiny.outcome(resumed) == tiny.outcome(uninterrupted)


def test_damaged_checkpoint_is_rejected_if_it_was_named(tiny: Tiny, stopped: TrainerConfig, latest: Path) -> None:
    (latest / "state.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="state.safetensors is damaged or was edited: expected sha256"):
        tiny.trainer(stopped).fit(tiny.images(), resume=latest)


def test_checkpoint_of_a_different_format_is_rejected(
    tiny: Tiny, stopped: TrainerConfig, latest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lenet5.training.checkpoints._FORMAT", 6)
    with pytest.raises(ValueError, match="state.json has format 5; expected 6"):
        tiny.trainer(stopped).fit(tiny.images(), resume=latest)


def test_resume_auto_starts_afresh_without_checkpoints(tiny: Tiny, tmp_path: Path) -> None:
    trainer = tiny.trainer(tiny.config(checkpoint_dir=tmp_path / "new"))
    assert len(trainer.fit(tiny.images(), resume="auto")) == 3
    assert tiny.first_step(trainer) == 0


def test_resume_auto_requires_checkpoint_dir(tiny: Tiny) -> None:
    with pytest.raises(ValueError, match="resume is 'auto', but checkpoint_dir is not set; set it in the config"):
        tiny.trainer(tiny.config()).fit(tiny.images(), resume="auto")


def test_resume_rejects_a_path_without_checkpoints(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no valid checkpoint at .*; expected a checkpoint, or a folder"):
        tiny.trainer(tiny.config()).fit(tiny.images(), resume=tmp_path)


def test_new_run_rejects_the_checkpoints_of_an_earlier_run(tiny: Tiny, stopped: TrainerConfig) -> None:
    message = "holds checkpoints of an earlier run; use resume='auto' or an empty folder"
    with pytest.raises(ValueError, match=message):
        tiny.trainer(stopped).fit(tiny.images())


def test_loader_without_a_state_rejects_a_checkpoint_from_the_middle_of_an_epoch(
    tiny: Tiny, stopped: TrainerConfig
) -> None:
    batches = [tiny.examples(8)[:]] * 4
    trainer = tiny.trainer(replace(stopped, checkpoint_dir=None))
    with pytest.raises(ValueError, match="was written in the middle of an epoch, where this loader cannot continue"):
        trainer.fit(batches, resume=str(stopped.checkpoint_dir))


# Writing checkpoints during a run


def test_latest_checkpoints_are_kept_and_leftovers_removed(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / f".step-00000001.{'a' * 24}").mkdir()
    tiny.trainer(tiny.config(checkpoint_dir=tmp_path, keep_checkpoints=2)).fit(tiny.images())
    assert tiny.checkpoints(tmp_path) == [8, 12]


class SpoilWeights(Callback):
    """Overwrite the weights from one epoch on."""

    def __init__(self, first_epoch: int) -> None:
        self.first_epoch = first_epoch

    def on_step_end(self, state: TrainingState) -> None:
        if state.epoch >= self.first_epoch:
            for parameter in state.model.parameters():
                parameter.data.fill_(-9.0)


def test_checkpoint_of_the_best_epoch_is_kept(tiny: Tiny, tmp_path: Path) -> None:
    config = tiny.config(checkpoint_dir=tmp_path, keep_checkpoints=1, monitor="val_loss")
    tiny.trainer(config, callbacks=[SpoilWeights(1)]).fit(tiny.images(), tiny.images(12))
    assert tiny.checkpoints(tmp_path) == [4, 12]


def test_final_checkpoint_has_the_weights_of_the_best_epoch(tiny: Tiny, tmp_path: Path) -> None:
    trainer = tiny.trainer(tiny.config(checkpoint_dir=tmp_path), callbacks=[SpoilWeights(2)])
    trainer.fit(tiny.images(), tiny.images(12))
    assert trainer.history.best_epoch in (1, 2)
    tensors = {name: tensor.tolist() for name, tensor in find_checkpoint(tmp_path).tensors.items()}
    assert tensors == tiny.outcome(trainer)[0]


def test_checkpoint_minutes_sets_the_time_between_checkpoints(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10**6, 25))
    monkeypatch.setattr("lenet5.training.loop.time.monotonic", lambda: next(clock))  # each reading is 25 seconds later
    config = tiny.config(
        checkpoint_dir=tmp_path, checkpoint_minutes=1.0, keep_checkpoints=9, max_epochs=1, batch_size=3
    )
    tiny.trainer(config).fit(tiny.images())
    assert tiny.checkpoints(tmp_path) == [3, 6, 9, 10]


def test_full_disk_raises_its_error_and_keeps_the_last_checkpoint(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk() -> None:
        def fsync(_handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", fsync)

    config = tiny.config(checkpoint_dir=tmp_path)
    with pytest.raises(OSError, match="No space left"):
        tiny.trainer(config, stop_after=6, end=fill_disk).fit(tiny.images())
    assert tiny.checkpoints(tmp_path) == [4]
    monkeypatch.undo()
    uninterrupted, resumed = tiny.trainer(tiny.config()), tiny.trainer(config)
    uninterrupted.fit(tiny.images())
    resumed.fit(tiny.images(), resume="auto")
    assert tiny.first_step(resumed) == 4
    assert tiny.outcome(resumed) == tiny.outcome(uninterrupted)


def test_nan_loss_keeps_the_last_checkpoint(tiny: Tiny, tmp_path: Path) -> None:
    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        calls.append(1)
        return nn.functional.cross_entropy(logits, targets) * (float("nan") if len(calls) > 6 else 1)

    calls: list[int] = []
    with pytest.raises(FloatingPointError, match="epoch 2, step 3 of 4"):
        tiny.trainer(tiny.config(checkpoint_dir=tmp_path), loss_fn=loss_fn).fit(tiny.images())
    state = find_checkpoint(tmp_path).state
    assert (state["epoch"], state["step"]) == (1, 0)


# The format


@pytest.mark.parametrize("content", ["file", "folder"])
def test_write_checkpoint_replaces_only_checkpoints(tmp_path: Path, content: str) -> None:
    path = tmp_path / "thesis"
    text = path
    if content == "folder":
        path.mkdir()
        text = path / "text"
    text.write_text("precious", encoding="utf-8")
    with pytest.raises(ValueError, match="thesis is not a checkpoint; expected a new folder, or a checkpoint"):
        write_checkpoint(path, LeNet5(), {})
    assert text.read_text(encoding="utf-8") == "precious"


def test_tensors_whose_paths_look_alike_are_kept_apart(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "new", nn.Linear(1, 1), {"a": {"b": torch.zeros(2)}, "a.b": torch.ones(2)})
    state = read_checkpoint(tmp_path / "new").state
    assert (state["a"]["b"].tolist(), state["a.b"].tolist()) == ([0, 0], [1, 1])


def test_write_checkpoint_names_a_value_that_it_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="state.outer.0.inner is object, which a checkpoint cannot hold"):
        write_checkpoint(tmp_path / "new", nn.Linear(1, 1), {"outer": [{"inner": object()}]})
    assert not list(tmp_path.iterdir())


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(value=plain_values)
def test_state_is_restored_with_the_same_types(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    state = {"value": value, "array": np.arange(3, dtype=np.uint32), "tensor": torch.arange(2)}
    folder = tmp_path_factory.mktemp("state") / "checkpoint"
    write_checkpoint(folder, nn.Linear(1, 1), state)
    for restored in (read_checkpoint(folder).state, decode(encode(state))):
        assert repr(restored) == repr(state)
        assert restored["array"].dtype == np.uint32
