"""Atomic files: each is written beside its target, flushed to disk, and renamed over it.

Tensors are safetensors and everything else is JSON; reading either executes no code.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from safetensors.torch import load, save
from torch import Tensor

StrPath: TypeAlias = str | os.PathLike[str]


def write_file(path: StrPath, data: bytes) -> None:
    """Write a file atomically: a crash leaves the old content or the new one, never a part of it."""
    write_files({Path(path): data})


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: none is renamed to its target before all are on disk."""
    temporaries = {path: _temporary(path) for path in contents}
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
def written_folder(path: StrPath) -> Iterator[Path]:
    """Yield a temporary folder, and rename it to `path` at the end of the block, unless the block raises.

    An existing folder stays until the new one is on disk. No system call exchanges two folders on every platform, so a
    kill between the two renames can leave the old folder set aside. `recover_folder` then restores it.
    """
    path = Path(path)
    recover_folder(path)
    temporary, old = _temporary(path), _set_aside(path)
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
    """Restore a folder that a killed process set aside without replacing it."""
    old = _set_aside(path)
    if old.exists():
        if path.exists():
            shutil.rmtree(old)
        else:
            old.replace(path)


def json_bytes(value: Any) -> bytes:
    """Serialise a value as indented JSON; keys keep their order."""
    return (json.dumps(value, indent=2) + "\n").encode()


def write_json(path: StrPath, value: Any) -> None:
    """Write a value as indented JSON."""
    write_file(path, json_bytes(value))


def read_json(path: StrPath) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        The file is not a JSON object.
    """
    return parse_json(read_file(path), path)


def parse_json(data: bytes, path: StrPath) -> dict[str, Any]:
    """Parse a JSON object; errors name `path`, as in `read_json`."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not readable as JSON ({error}); it is truncated or was edited") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a JSON {type(value).__name__}; expected an object")
    return value


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with the hash of its content prepended under the key "digest"."""
    value = json.loads(json.dumps(value))  # as it will be read back: all keys are strings
    return {"digest": _digest(value), **value}


def unsealed(value: Mapping[str, Any], path: StrPath) -> dict[str, Any]:
    """Return a sealed object without its digest; raise ValueError if the digest does not match."""
    content = {name: entry for name, entry in value.items() if name != "digest"}
    if value.get("digest") != _digest(content):
        raise ValueError(f"{path} is damaged or was edited: its digest does not match its content")
    return content


def tensors_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Serialise tensors in the safetensors format."""
    # copies, because the format refuses tensors that share memory
    return save({name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()})


def write_tensors(path: StrPath, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors."""
    write_file(path, tensors_bytes(tensors))


def read_tensors(path: StrPath, *, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a safetensors file into CPU tensors, after verifying its hash, if given.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        The hash differs, or the file is not a safetensors file.
    """
    data = read_file(path)
    if sha256 is not None:
        check_hash(data, sha256, path)
    return parse_tensors(data, path)


def check_hash(data: bytes, expected: str, path: StrPath) -> None:
    """Raise ValueError unless the content of a file has the expected sha256."""
    if (digest := hashlib.sha256(data).hexdigest()) != expected:
        raise ValueError(f"{path} is damaged or was edited: expected sha256 {expected}, found {digest}")


def parse_tensors(data: bytes, path: StrPath) -> dict[str, Tensor]:
    """Parse the content of a safetensors file; raise ValueError if it is not one."""
    try:
        return load(data)
    except Exception as error:  # the parser documents no base class for its errors
        raise ValueError(f"{path} is not a safetensors file: {error}") from error


def flush_folder(path: Path) -> None:
    """Flush the entries of a folder to disk, on systems that can open folders."""
    with contextlib.suppress(PermissionError, IsADirectoryError):  # Windows cannot
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_file(path: StrPath) -> bytes:
    """Read a file; raise FileNotFoundError if it does not exist."""
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"{path} does not exist") from error


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _set_aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")
