"""The checkpoints of a training: folders `step-NUMBER` in one directory, the newest and the best of which are kept."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

from torch import nn

from .. import storage
from ..runtime.checkpoint import STATE, Checkpoint, read_checkpoint, write_checkpoint
from ..runtime.distributed import launch_id, was_restarted


def find_checkpoint(path: Path) -> Checkpoint:
    """Return the newest whole checkpoint at or below a path; of damaged ones it warns.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        The path is itself a checkpoint, and it is damaged.
    """
    storage.recover_folder(path)
    if (path / STATE).is_file():
        return read_checkpoint(path)
    for set_aside in [*path.glob(".step-*.old"), *path.glob("checkpoints/.step-*.old")]:
        storage.recover_folder(set_aside.with_name(set_aside.name[1:].removesuffix(".old")))
    for folder in sorted([*path.glob("step-*"), *path.glob("checkpoints/step-*")], key=_number, reverse=True):
        try:
            return read_checkpoint(folder)
        except (ValueError, OSError) as error:
            warnings.warn(f"the checkpoint {folder} is passed over: {error}", stacklevel=2)
    raise FileNotFoundError(
        f"there is no whole checkpoint at {path}; expected a checkpoint, or a folder of step-NUMBER"
    )


def checkpoint_to_resume(
    resume: str | os.PathLike[str] | None, directory: str | os.PathLike[str] | None, *, within_epoch: bool
) -> Checkpoint | None:
    """Return the checkpoint that `Trainer.fit` is to begin with; None for a fresh start.

    Raises
    ------
    FileNotFoundError
        There is no whole checkpoint, and one was asked for.
    ValueError
        It is damaged, holds no training, or was taken within an epoch and this is not allowed; or `resume` is "auto"
        and there is no directory to look into; or `resume` is None and the directory holds the checkpoints of another
        training, which would be mixed with the new ones.
    """
    used = directory is not None and any([*Path(directory).glob("step-*"), *Path(directory).glob(".step-*.old")])
    if directory is not None and used and was_restarted():
        newest = find_checkpoint(Path(directory))
        if newest.state.get("launch") == launch_id():  # this training's own, and newer than what it began with
            resume = "auto"
    if resume is None and used:
        raise ValueError(
            f"{directory} holds the checkpoints of an earlier training; expected an empty folder, or resume='auto'"
        )
    if resume == "auto":
        if directory is None:
            raise ValueError("resume is 'auto', but the settings name no checkpoint_dir; expected one of the two")
        resume = directory if used else None
    if resume is None:
        return None
    found = find_checkpoint(Path(resume))
    if "parts" not in found.state:
        raise ValueError(f"{found.path} holds a Trainer that had not begun to train; expected a checkpoint")
    if found.state["step"] and not (found.state["finished"] or within_epoch):
        raise ValueError(
            f"{found.path} was taken within an epoch, where a foreign loader cannot continue;"
            " expected one taken at an epoch's end, or the dataset itself to train on"
        )
    return found


def add_checkpoint(directory: str | os.PathLike[str], model: nn.Module, state: dict[str, Any], *, keep: int) -> None:
    """Write `directory/step-NUMBER`; keep it, the newest before it and the best epoch's, and remove what is left over.

    A checkpoint can replace one of the same number, which then was taken by a training that had not ended.
    """
    directory, step = Path(directory), state["epoch"] * state["num_steps"] + state["step"]
    write_checkpoint(directory / f"step-{step:08}", model, state)
    earlier = sorted((path for path in directory.glob("step-*") if _number(path) <= step), key=_number)
    best = (state["best_epoch"] or -1) * state["num_steps"]
    spent = [path for path in earlier[:-keep] if _number(path) != best]
    for folder in [*spent, *directory.glob(".step-*")]:
        shutil.rmtree(folder, ignore_errors=True)


def _number(folder: Path) -> int:
    digits = folder.name.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else -1
