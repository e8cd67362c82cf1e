"""Every file operation of a training run fails once; the run then resumes exactly, from what was on disk before."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from lenet5 import Callback, TrainingState
from lenet5.training.checkpoints import find_checkpoint, write_checkpoint

if TYPE_CHECKING:
    from tests.conftest import Faults
    from tests.training.conftest import Tiny

KINDS = ("EIO", "ENOSPC", "kill")


@pytest.mark.parametrize("kinds", [("EIO", "ENOSPC"), ("kill", "kill")])
def test_run_resumes_exactly_after_any_fault(
    tiny: Tiny, tmp_path: Path, faults: Faults, kinds: tuple[str, str]
) -> None:
    def fit(folder: Path, **options: str) -> object:
        trainer = tiny.trainer(tiny.config(max_epochs=2, keep_checkpoints=1, checkpoint_dir=folder))
        trainer.fit(tiny.images(12), **options)
        return tiny.outcome(trainer)

    torch.set_num_threads(1)  # so small a model trains faster
    uninterrupted = fit(tmp_path / "uninterrupted")
    for number in itertools.count(1):
        folder = tmp_path / str(number)
        if not faults.survive(functools.partial(fit, folder), kinds[number % 2], number):
            break
        before = sorted(path.name for path in folder.glob("step-*"))
        if before:
            latest = find_checkpoint(folder)
            assert latest.path.name == before[-1]
            assert latest.state["epoch"] * 2 == int(before[-1].removeprefix("step-"))
        assert fit(folder, resume="auto") == uninterrupted
        assert tiny.checkpoints(folder) in ([4], [2, 4])  # [2, 4] if step 2 could not be removed after the last epoch
    assert faults.injected > 40


@pytest.mark.parametrize("kind", KINDS)
def test_replaced_checkpoint_is_old_or_new_after_any_fault(
    tiny: Tiny, tmp_path: Path, faults: Faults, kind: str
) -> None:
    old, new = tiny.noisy_model(), tiny.model()
    number = 1
    write_checkpoint(tmp_path / "model", old, {"name": "old"})
    while faults.survive(lambda: write_checkpoint(tmp_path / "model", new, {"name": "new"}), kind, number):
        checkpoint = find_checkpoint(tmp_path / "model")
        expected = old if checkpoint.state["name"] == "old" else new
        assert checkpoint.tensors.keys() == expected.state_dict().keys()
        write_checkpoint(tmp_path / "model", old, {"name": "old"})
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
        assert len(list((tmp_path / "model").iterdir())) == 4
        number += 1
    assert faults.injected > 20


# Two runs at once


class Rival(Callback):
    """Try to train in the same folder at the first step."""

    def __init__(self, tiny: Tiny, folder: Path, resume: str | None) -> None:
        self.tiny, self.folder, self.resume = tiny, folder, resume

    def on_step_end(self, state: TrainingState) -> None:
        if state.global_step == 1:
            rival = self.tiny.trainer(self.tiny.config(checkpoint_dir=self.folder))
            with pytest.raises(ValueError, match="is in use by a training run that has not ended"):
                rival.fit(self.tiny.images(), resume=self.resume)


@pytest.mark.parametrize("resume", [None, "auto"])
def test_second_run_in_the_same_folder_is_refused(tiny: Tiny, tmp_path: Path, resume: str | None) -> None:
    trainer = tiny.trainer(tiny.config(checkpoint_dir=tmp_path), callbacks=[Rival(tiny, tmp_path, resume)])
    trainer.fit(tiny.images())
    assert tiny.checkpoints(tmp_path) == [8, 12]


def test_failed_run_leaves_no_empty_folder(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        tiny.trainer(tiny.config(checkpoint_dir=tmp_path / "new" / "folder"), stop_after=1).fit(tiny.images())
    assert list(tmp_path.iterdir()) == []
