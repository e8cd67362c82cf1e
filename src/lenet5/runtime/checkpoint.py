"""Checkpoints: a weights folder, and beside the weights all else that makes a resumed run the same run.

`state.json` holds the hashes of the other files and, under `digest`, its own; tensors lie in `state.safetensors`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import storage
from ..models import save_model
from ..models.pretrained import CONFIG, TENSORS
from .distributed import Processes

STATE = "state.json"
_STATE_TENSORS = "state.safetensors"
_FILES = (CONFIG, TENSORS, _STATE_TENSORS)
_FORMAT = 2


class Checkpoint:
    """A checkpoint that was read, and seen to be whole.

    Parameters
    ----------
    path
        The folder, for messages.
    files
        Their contents by name.

    Attributes
    ----------
    state
        What `write_checkpoint` was given.
    tensors
        Those of the model.

    Raises
    ------
    ValueError
        A file is damaged or missing, or of another format.
    """

    def __init__(self, path: Path, files: dict[str, bytes]) -> None:
        self.path, self.files = path, files
        content = storage.unsealed(storage.parse_json(files[STATE], path / STATE), path / STATE)
        if content.get("format") != _FORMAT:
            raise ValueError(f"{path / STATE} has format {content.get('format')}; expected {_FORMAT}")
        for name, expected in content["files"].items():
            if name not in files:
                raise ValueError(f"{path} is not whole: {name} is missing")
            storage.check_hash(files[name], expected, path / name)
        self.tensors = storage.parse_tensors(files[TENSORS], path / TENSORS)
        others = storage.parse_tensors(files[_STATE_TENSORS], path / _STATE_TENSORS)
        self.state: dict[str, Any] = _unpack(content["state"], others)


def write_checkpoint(path: str | os.PathLike[str], model: nn.Module, state: dict[str, Any]) -> None:
    """Write a checkpoint folder; another checkpoint of that name stays until the new one is on disk.

    Raises
    ------
    ValueError
        The path is a file, or a folder that holds anything but a checkpoint, which would be lost.
    """
    path = Path(path).resolve()
    if path.exists() and not (path.is_dir() and {entry.name for entry in path.iterdir()} <= {*_FILES, STATE}):
        raise ValueError(f"{path} holds other things than a checkpoint; expected a new folder, or one of a checkpoint")
    with storage.written_folder(path) as folder:
        save_model(model, folder)
        tensors: dict[str, Tensor] = {}
        packed = _pack(state, tensors, "state")
        storage.write_tensors(folder / _STATE_TENSORS, tensors)
        hashes = {name: hashlib.sha256(storage.read_file(folder / name)).hexdigest() for name in _FILES}
        content = storage.sealed({"format": _FORMAT, "files": hashes, "state": packed})
        storage.write_json(folder / STATE, content)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        A file is damaged or missing, or of another format.
    """
    storage.read_file(folder / STATE)
    names = [name for name in (*_FILES, STATE) if (folder / name).is_file()]
    return Checkpoint(folder, {name: storage.read_file(folder / name) for name in names})


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


def shared_checkpoint(find: Callable[[], Checkpoint | None], processes: Processes) -> Checkpoint | None:
    """Return what the first process finds; the others may be on hosts that do not see its folders."""
    if processes.size == 1:
        return find()

    def found() -> bytes:
        checkpoint = find()
        if checkpoint is None:
            return b""
        files = {name: np.array(bytearray(data)) for name, data in checkpoint.files.items()}
        return encode((str(checkpoint.path), files))

    data = processes.from_first(found)
    if not data:
        return None
    path, files = decode(data)
    return Checkpoint(Path(path), {name: content.tobytes() for name, content in files.items()})


def encode(value: Any) -> bytes:
    """Return a value as bytes for another process; what a checkpoint can hold, this can."""
    tensors: dict[str, Tensor] = {}
    packed = torch.frombuffer(bytearray(json.dumps(_pack(value, tensors, "value")).encode()), dtype=torch.uint8)
    return storage.tensors_bytes({**tensors, "json": packed})


def decode(data: bytes) -> Any:
    """Return what `encode` was given."""
    tensors = storage.parse_tensors(data, "a message")
    return _unpack(json.loads(bytes(tensors["json"].tolist())), tensors)
