"""Checkpoints: folders that hold the weights, and everything else that an exact resume needs.

A checkpoint `step-NUMBER` is a weights folder with two more files. `state.json` holds the state of the run, the hashes
of the other files and, under `digest`, its own hash. `state.safetensors` holds the tensors of the state.
"""

import contextlib
import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import storage
from ..models.pretrained import CONFIG, TENSORS, model_files
from ..runtime.distributed import Processes, launch_id, was_restarted
from ..storage import StrPath

STATE = "state.json"
_STATE_TENSORS = "state.safetensors"
_FILES = (CONFIG, TENSORS, _STATE_TENSORS)
_FORMAT = 5


class Checkpoint:
    """A checkpoint whose files have been read and verified.

    Parameters
    ----------
    path
        The folder.
    files
        The contents of its files, by name.

    Attributes
    ----------
    state
        The state that was passed to `write_checkpoint`.
    tensors
        The tensors of the model.

    Raises
    ------
    ValueError
        A file is damaged or missing, or has a different format version.
    """

    path: Path
    files: dict[str, bytes]
    tensors: dict[str, Tensor]

    def __init__(self, path: Path, files: dict[str, bytes]) -> None:
        self.path, self.files = path, files
        content = _content(files[STATE], path)
        self.tensors = storage.parse_tensors(files[TENSORS], path / TENSORS)
        state_tensors = storage.parse_tensors(files[_STATE_TENSORS], path / _STATE_TENSORS)
        try:
            self.state: dict[str, Any] = dict(_unpack(content["state"], state_tensors))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"{path / STATE} does not hold the state of a run: {error!r}") from error


def write_checkpoint(path: StrPath, model: nn.Module, state: dict[str, Any]) -> None:
    """Write a checkpoint folder; an existing checkpoint of that name stays until the new one is on disk.

    Raises
    ------
    ValueError
        The path is a file, or a folder that holds other files, which would be lost.
    """
    path = storage.as_path(path).resolve()
    if path.exists() and not (path.is_dir() and _visible_names(path) <= {*_FILES, STATE}):
        raise ValueError(
            f"{storage.shown(path)} is not a checkpoint; expected a new folder, or a checkpoint to replace"
        )
    tensors: dict[str, Tensor] = {}
    packed = _pack(state, tensors, "state")
    files = {**model_files(model), _STATE_TENSORS: storage.tensors_bytes(tensors)}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    record = storage.json_bytes(storage.sealed({"format": _FORMAT, "files": hashes, "state": packed}))
    files = {STATE: record, **files}
    if path.exists():
        storage.write_files({path / name: data for name, data in files.items()})
    else:
        storage.write_folder(path, files)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises
    ------
    FileNotFoundError
        The folder is not a checkpoint.
    ValueError
        A file is damaged or missing, or has a different format version.
    """

    def read() -> Checkpoint:
        record = storage.read_file(folder / STATE, limit=storage.LARGEST)
        hashes = _content(record, folder)["files"]
        members = {name: storage.read_member(folder / name, str(hashes.get(name))) for name in _FILES}
        return Checkpoint(folder, {STATE: record, **members})

    return storage.consistently(folder / STATE, read)


def find_checkpoint(path: Path) -> Checkpoint:
    """Return the latest valid checkpoint at or below a path; warn about damaged ones.

    Raises
    ------
    FileNotFoundError
        There is no valid checkpoint.
    ValueError
        The path itself is a checkpoint, and damaged.
    """
    if (path / STATE).is_file():
        return read_checkpoint(path)
    for folder in sorted([*path.glob("step-*"), *path.glob("checkpoints/step-*")], key=_step, reverse=True):
        try:
            return read_checkpoint(folder)
        except (ValueError, OSError) as error:
            warnings.warn(f"skipping the damaged checkpoint {folder}: {error}", stacklevel=2)
    raise FileNotFoundError(f"no valid checkpoint at {path}; expected a checkpoint, or a folder of step-NUMBER")


def checkpoint_to_resume(
    resume: StrPath | bool | None, directory: StrPath | None, processes: Processes, *, mid_epoch: bool
) -> Checkpoint | None:
    """Return the checkpoint from which `Trainer.fit` resumes; None to start a new run. Every rank calls this.

    Raises
    ------
    FileNotFoundError
        `resume` names no valid checkpoint.
    ValueError
        The checkpoint is damaged, holds no training run, or was written in the middle of an epoch while `mid_epoch` is
        False. Or `resume` is "auto" and `directory` is None, or `resume` is None and `directory` has checkpoints.
    """
    return _from_main(lambda: _found(resume, directory, mid_epoch=mid_epoch), processes)


def _found(resume: StrPath | bool | None, directory: StrPath | None, *, mid_epoch: bool) -> Checkpoint | None:
    resume = ("auto" if resume else None) if isinstance(resume, bool) else resume
    directory = None if directory is None else storage.as_path(directory)
    used = directory is not None and any(directory.glob("step-*"))
    if directory is not None and used and was_restarted():
        latest = find_checkpoint(directory)
        if latest.state.get("launch") == launch_id():  # written by this run, before torchrun restarted it
            resume = "auto"
    if resume is None and used:
        raise ValueError(f"{directory} holds checkpoints of an earlier run; use resume='auto' or an empty folder")
    if resume == "auto":
        if directory is None:
            raise ValueError("resume is 'auto', but checkpoint_dir is not set; set it in the config")
        resume = directory if used else None
    if resume is None:
        return None
    checkpoint = find_checkpoint(storage.as_path(resume))
    if "parts" not in checkpoint.state:
        raise ValueError(f"{checkpoint.path} holds a Trainer that was never trained; expected a checkpoint of a run")
    if checkpoint.state.get("step") and not (checkpoint.state.get("finished") or mid_epoch):
        raise ValueError(
            f"{checkpoint.path} was written in the middle of an epoch, where this loader cannot continue; expected a"
            " checkpoint from the end of an epoch, or the dataset itself to train on"
        )
    return checkpoint


def _from_main(find: Callable[[], Checkpoint | None], processes: Processes) -> Checkpoint | None:
    """Find a checkpoint on rank 0 and broadcast it, because ranks on other hosts may not see its folder."""
    if processes.world_size == 1:
        return find()

    def serialise() -> bytes:
        checkpoint = find()
        if checkpoint is None:
            return b""
        files = {name: np.array(bytearray(data)) for name, data in checkpoint.files.items()}
        return encode((str(checkpoint.path), files))

    data = processes.broadcast_from_main(serialise)
    if not data:
        return None
    path, files = decode(data)
    return Checkpoint(Path(path), {name: content.tobytes() for name, content in files.items()})


@contextlib.contextmanager
def claimed_folder(directory: StrPath | None, processes: Processes) -> Iterator[None]:
    """Claim a folder of checkpoints on rank 0 for the time of a run; if it is in use, every rank raises ValueError."""
    with contextlib.ExitStack() as stack:

        def claim() -> bytes:
            if directory is not None:
                stack.enter_context(storage.claimed(storage.as_path(directory)))
            return b""

        processes.broadcast_from_main(claim)
        yield


def add_checkpoint(directory: StrPath, model: nn.Module, state: dict[str, Any], *, keep: int) -> None:
    """Write `directory/step-NUMBER`, and remove all but the latest `keep` checkpoints and the one of the best epoch."""
    directory, step = storage.as_path(directory), state["epoch"] * state["num_steps"] + state["step"]
    write_checkpoint(directory / f"step-{step:08}", model, state)
    earlier = sorted((path for path in directory.glob("step-*") if _step(path) <= step), key=_step)
    best = (state["best_epoch"] or -1) * state["num_steps"]
    obsolete = [path for path in earlier[:-keep] if _step(path) != best]
    for folder in obsolete:
        shutil.rmtree(folder, ignore_errors=True)
    storage.clear_leftovers(directory, "step-*")


def encode(value: Any) -> bytes:
    """Serialise a value of any type that a checkpoint can hold, to send it to other ranks."""
    tensors: dict[str, Tensor] = {}
    packed = torch.frombuffer(bytearray(json.dumps(_pack(value, tensors, "value")).encode()), dtype=torch.uint8)
    return storage.tensors_bytes({**tensors, "json": packed})


def decode(data: bytes) -> Any:
    """Restore the argument of `encode`."""
    tensors = storage.parse_tensors(data, "a message")
    return _unpack(json.loads(bytes(tensors["json"].tolist())), tensors)


def check_packable(value: Any, name: str) -> None:
    """Raise TypeError, with the name and the place in it, if a checkpoint cannot hold a value."""
    _pack(value, {}, name)


def _pack(value: Any, tensors: dict[str, Tensor], path: str) -> Any:
    """Convert a value to JSON from which `_unpack` restores the same types; collect its tensors in `tensors`."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor | np.ndarray):
        name = f"{len(tensors)} {path}"  # the number distinguishes equal paths: the key "a.b", and the key "b" in "a"
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


def _content(record: bytes, path: Path) -> dict[str, Any]:
    """Parse and verify `state.json`."""
    content = storage.unsealed(storage.parse_json(record, path / STATE), path / STATE)
    if content.get("format") != _FORMAT:
        raise ValueError(f"{path / STATE} has format {content.get('format')}; expected {_FORMAT}")
    if not isinstance(content.get("files"), dict):
        raise ValueError(f"{path / STATE} does not list the hashes of the files")
    return content


def _visible_names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir() if storage.is_visible(entry)}


def _step(folder: Path) -> int:
    digits = folder.name.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else -1
