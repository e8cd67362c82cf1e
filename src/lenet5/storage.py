"""Files that are whole or absent: written beside their target, flushed to disk, renamed over it.

Weights are safetensors and everything else is JSON; nothing here can execute what it reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load as read_safetensors
from safetensors.torch import save as make_safetensors
from torch import Tensor


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` so that a crash leaves the old file or the new one, never a part of it."""
    write_files({Path(path): data})


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: each as `write_file` does, and none takes its name before all are on disk."""
    temporaries = {path: _beside(path) for path in contents}
    try:
        for path, temporary in temporaries.items():
            with temporary.open("xb") as file:
                file.write(contents[path])
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in temporaries.items():
            temporary.replace(path)
    except BaseException:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
        raise
    for folder in {path.parent for path in contents}:
        flush_folder(folder)


@contextlib.contextmanager
def written_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a folder to fill; it takes the name `path` when the block ends, and not if the block raises.

    A folder that was there before stays until the new one is on disk. No system can exchange two folders in one step
    everywhere, so a kill between two renames can leave the old one under the name that `recover_folder` looks for.
    """
    path = Path(path)
    recover_folder(path)
    temporary, old = _beside(path), _set_aside(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        flush_folder(temporary)
        if path.exists():
            path.replace(old)
        temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        recover_folder(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
    flush_folder(path.parent)


def recover_folder(path: Path) -> None:
    """Put back a folder that a killed process had set aside to replace it, if it did not come to do so."""
    old = _set_aside(path)
    if old.exists():
        if path.exists():
            shutil.rmtree(old)
        else:
            old.replace(path)


def json_bytes(value: Any) -> bytes:
    """Return `value` as readable JSON, keys in the order given."""
    return (json.dumps(value, indent=2) + "\n").encode()


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as readable JSON."""
    write_file(path, json_bytes(value))


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is no JSON object.
    """
    return parse_json(read_file(path), path)


def parse_json(data: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the JSON object in a file's bytes; see `read_json`."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not readable as JSON ({error}); it is truncated or was edited") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a JSON {type(value).__name__}; expected an object")
    return value


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with the hash of its contents in front, under "digest"."""
    value = json.loads(json.dumps(value))  # as it will be read: a key is a string
    return {"digest": _digest(value), **value}


def unsealed(value: Mapping[str, Any], path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return a sealed object without its digest.

    Raises
    ------
    ValueError
        The contents are not those that were sealed.
    """
    content = {name: entry for name, entry in value.items() if name != "digest"}
    if value.get("digest") != _digest(content):
        raise ValueError(f"{path} is damaged or was edited: its digest does not agree with its contents")
    return content


def tensors_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors in the safetensors format."""
    copies = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    return make_safetensors(copies)  # copies, since the format refuses tensors that share memory


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors."""
    write_file(path, tensors_bytes(tensors))


def read_tensors(path: str | os.PathLike[str], *, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a safetensors file into CPU tensors, checking its hash first where one is given.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file's hash differs from `sha256`, or it is no safetensors file.
    """
    data = read_file(path)
    if sha256 is not None:
        check_hash(data, sha256, path)
    return parse_tensors(data, path)


def check_hash(data: bytes, expected: str, path: str | os.PathLike[str]) -> None:
    """Raise ValueError unless a file's bytes have the expected sha256."""
    if (found := hashlib.sha256(data).hexdigest()) != expected:
        raise ValueError(f"{path} is damaged or was edited: expected sha256 {expected}, found {found}")


def parse_tensors(data: bytes, path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors in a safetensors file's bytes; ValueError if it is none."""
    try:
        return read_safetensors(data)
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


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Read a file; FileNotFoundError if there is none."""
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"{path} does not exist") from error


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _set_aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")
