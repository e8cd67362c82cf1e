"""Files that are whole or absent: written beside their target, flushed to disk, renamed over it.

Weights are safetensors and everything else is JSON; nothing here can execute what it reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` so that a crash leaves the old file or the new one, never a part of it."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


@contextlib.contextmanager
def written_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a folder to fill; it takes the name `path` when the block ends, and not if the block raises.

    A folder that was there before stays, whole, until the new one is on disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        flush_folder(temporary)
        if path.exists():
            replaced = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            old = path.replace(replaced / path.name)
            try:
                temporary.replace(path)
            except BaseException:
                old.replace(path)
                replaced.rmdir()
                raise
            shutil.rmtree(replaced)
        else:
            Path(temporary).replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    flush_folder(path.parent)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as readable JSON, keys in the order given."""
    write_file(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is no JSON object.
    """
    try:
        value = json.loads(_read(path))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not readable as JSON ({error}); it is truncated or was edited") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a JSON {type(value).__name__}; expected an object")
    return value


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor]) -> str:
    """Write tensors as safetensors; return the file's sha256 in hex."""
    copies = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(copies)  # copies, since the format refuses tensors that share memory
    write_file(path, data)
    return hashlib.sha256(data).hexdigest()


def read_tensors(path: str | os.PathLike[str], *, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a safetensors file into CPU tensors, checking its hash first where one is given.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file's hash differs from `sha256`, or it is no safetensors file.
    """
    data = _read(path)
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(f"{path} is damaged or was edited: expected sha256 {sha256}, found {found}")
    try:
        return safetensors.torch.load(data)
    except Exception as error:  # the parser names no base class for what a foreign file can raise
        raise ValueError(f"{path} is not a safetensors file: {error}") from error


def flush_folder(path: Path) -> None:
    """Make the names in a folder durable, where the system lets a folder be opened."""
    with contextlib.suppress(PermissionError, IsADirectoryError):  # Windows opens no folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"{path} does not exist") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
