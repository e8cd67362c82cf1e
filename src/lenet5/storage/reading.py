"""Reading: only regular files, never more than expected, and files that belong together."""

import hashlib
import os
import stat
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import TypeVar

from .paths import StrPath, shown

Result = TypeVar("Result")

# opening a pipe does not wait for its writer, and opening a terminal does not take control of it
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def open_file(path: StrPath) -> BufferedReader:
    """Open a regular file for reading.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        The path is a folder, a pipe or a device, which could block or never end.
    """
    try:
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | _FLAGS))  # noqa: SIM115
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # no name of a file contains a null character
        raise FileNotFoundError(f"{shown(path) or 'an empty path'} does not exist") from error
    except IsADirectoryError as error:
        raise ValueError(f"{shown(path)} is a folder; expected a file") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError(f"{shown(path)} is a pipe or a device; expected a file")
    return file


def read_file(path: StrPath, *, limit: int | None = None, sha256: str | None = None) -> bytes:
    """Read a file; check its size and its hash first, so that the wrong file takes no memory.

    Parameters
    ----------
    path
        The file.
    limit
        Largest size in bytes that the right file can have.
    sha256
        Expected hash.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        The path is not a regular file, the file is too large, or the hash differs.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if limit is not None and size > limit:
            raise ValueError(f"{shown(path)} has {size} bytes; expected at most {limit}")
        if sha256 is not None:
            _compare(hashlib.file_digest(file, "sha256").hexdigest(), sha256, path)
            file.seek(0)
        return file.read(size)  # what is appended meanwhile does not belong to it


def check_hash(data: bytes, expected: str, path: StrPath) -> None:
    """Raise ValueError unless the content of a file has the expected sha256."""
    _compare(hashlib.sha256(data).hexdigest(), expected, path)


def consistently(record: Path, read: Callable[[], Result]) -> Result:
    """Read files that belong together; if that fails because a process has replaced them meanwhile, read them again.

    Parameters
    ----------
    record
        The file that holds the hashes of the others.
    read
        Reads all of them.
    """
    while True:
        before = _version(record)
        try:
            return read()
        except (OSError, ValueError):
            if _version(record) == before:
                raise


def _compare(found: str, expected: str, path: StrPath) -> None:
    if found != expected:
        raise ValueError(f"{shown(path)} is damaged or was edited: expected sha256 {shown(expected)}, found {found}")


def _version(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is replaced."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
