"""Checkpoints: a weights folder, and beside the weights all else that makes a resumed run the same run.

`state.json` holds the hashes of the other files and, under `digest`, its own; tensors lie in `state.safetensors`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import storage
from ..models import save_model
from ..models.pretrained import CONFIG, TENSORS

_STATE = "state.json"
_STATE_TENSORS = "state.safetensors"
_FILES = (CONFIG, TENSORS, _STATE_TENSORS)
_FORMAT = 1


def write_checkpoint(path: str | os.PathLike[str], model: nn.Module, state: dict[str, Any]) -> None:
    """Write a checkpoint folder; another checkpoint of that name stays until the new one is on disk.

    Raises
    ------
    ValueError
        The path is a file, or a folder that holds anything but a checkpoint, which would be lost.
    """
    path = Path(path).resolve()
    if path.exists() and not (path.is_dir() and {entry.name for entry in path.iterdir()} <= {*_FILES, _STATE}):
        raise ValueError(f"{path} holds other things than a checkpoint; expected a new folder, or one of a checkpoint")
    with storage.written_folder(path) as folder:
        save_model(model, folder)
        tensors: dict[str, Tensor] = {}
        packed = _pack(state, tensors, "state")
        storage.write_tensors(folder / _STATE_TENSORS, tensors)
        content = {"format": _FORMAT, "files": {name: _sha256(folder / name) for name in _FILES}, "state": packed}
        storage.write_json(folder / _STATE, {"digest": _digest(content), **content})


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """Return the state that a checkpoint holds, after checking every file in it.

    Raises
    ------
    FileNotFoundError
        There is no checkpoint.
    ValueError
        A file is damaged or missing, or another format.
    """
    content = storage.read_json(folder / _STATE)
    if content.pop("digest", None) != _digest(content):
        raise ValueError(f"{folder / _STATE} is damaged or was edited: its digest does not agree with its contents")
    if content.get("format") != _FORMAT:
        raise ValueError(f"{folder / _STATE} has format {content.get('format')}; expected {_FORMAT}")
    for name, expected in content["files"].items():
        if not (folder / name).is_file():
            raise ValueError(f"{folder} is not whole: {name} is missing")
        if (found := _sha256(folder / name)) != expected:
            raise ValueError(f"{folder / name} is damaged or was edited: expected sha256 {expected}, found {found}")
    state: dict[str, Any] = _unpack(content["state"], storage.read_tensors(folder / _STATE_TENSORS))
    return state


def find_checkpoint(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the newest whole checkpoint at or below a path, and its state; of damaged ones it warns.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        The path is itself a checkpoint, and it is damaged.
    """
    storage.recover_folder(path)
    if (path / _STATE).is_file():
        return path, read_checkpoint(path)
    for set_aside in [*path.glob(".step-*.old"), *path.glob("checkpoints/.step-*.old")]:
        storage.recover_folder(set_aside.with_name(set_aside.name[1:].removesuffix(".old")))
    for folder in sorted([*path.glob("step-*"), *path.glob("checkpoints/step-*")], key=_number, reverse=True):
        try:
            return folder, read_checkpoint(folder)
        except (ValueError, FileNotFoundError) as error:
            warnings.warn(f"the checkpoint {folder} is passed over: {error}", stacklevel=2)
    raise FileNotFoundError(
        f"there is no whole checkpoint at {path}; expected a checkpoint, or a folder of step-NUMBER"
    )


def checkpoint_to_resume(
    resume: str | os.PathLike[str] | None, directory: str | os.PathLike[str] | None, *, within_epoch: bool
) -> tuple[Path, dict[str, Any]] | None:
    """Return the checkpoint that `Trainer.fit` is to begin with, and its state; None for a fresh start.

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
    folder, state = find_checkpoint(Path(resume))
    if "optimizer" not in state:
        raise ValueError(f"{folder} holds a Trainer that had not begun to train; expected a checkpoint")
    if state["step"] and not (state["finished"] or within_epoch):
        raise ValueError(
            f"{folder} was taken within an epoch, where a foreign loader cannot continue;"
            " expected one taken at an epoch's end, or the dataset itself to train on"
        )
    return folder, state


def add_checkpoint(directory: str | os.PathLike[str], model: nn.Module, state: dict[str, Any], *, keep: int) -> None:
    """Write `directory/step-NUMBER`; keep it and the newest before it, and remove what a killed process left behind."""
    directory, step = Path(directory), state["epoch"] * state["num_steps"] + state["step"]
    write_checkpoint(directory / f"step-{step:08}", model, state)
    earlier = sorted((path for path in directory.glob("step-*") if _number(path) <= step), key=_number)
    for folder in [*earlier[:-keep], *directory.glob(".step-*")]:
        shutil.rmtree(folder, ignore_errors=True)


def _number(folder: Path) -> int:
    digits = folder.name.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else -1


def _pack(value: Any, tensors: dict[str, Tensor], path: str) -> Any:
    """Return a value as JSON that `_unpack` turns back into the same types; tensors are put aside, by name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor | np.ndarray):
        name = f"{len(tensors)} {path}"  # the number keeps apart what has the same path, such as a.b in a and in a.b
        tensors[name] = torch.as_tensor(value)
        return {"tensor" if isinstance(value, Tensor) else "array": name}
    if isinstance(value, dict):
        return {"dict": [[_pack(k, tensors, path), _pack(v, tensors, f"{path}.{k}")] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        items = [_pack(item, tensors, f"{path}.{index}") for index, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    raise TypeError(
        f"{path} is {type(value).__name__}, which a checkpoint cannot hold;"
        " expected tensors, arrays, numbers, strings, None, and lists, tuples and dicts of these"
    )


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "dict":
        return {_unpack(k, tensors): _unpack(v, tensors) for k, v in content}
    if kind == "tuple":
        return tuple(_unpack(item, tensors) for item in content)
    return tensors[content] if kind == "tensor" else tensors[content].numpy()


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
