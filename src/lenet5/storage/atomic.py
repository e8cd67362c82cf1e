"""Atomic files: each is written beside its target, flushed to disk, and renamed over it.

Files that belong together are a record and its members; the record holds the sha256 of each member. The record is
renamed first. A member that a killed process did not rename is found beside its place by its hash, so that either all
old files or all new files can be read at any time. Readers never write.
"""

import contextlib
import errno
import glob
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from .locks import locked
from .paths import StrPath, shown
from .reading import read_file

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Handle = TypeVar("Handle", int, int | None)

_DIGITS, _HASH_DIGITS = (24, 16)  # of the token in a temporary file's name, which starts with the hash of its content
_PAUSES = (0.01, 0.05, 0.1, 0.2, 0.5)  # seconds
_LONGEST_NAME = 64  # bytes of the target's name in the name of a temporary file, which the system limits to 255
_UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # of network file systems, and FUSE
_PATIENCE = 30  # seconds to wait for a different process that writes the same files
_ABANDONED = 3600  # seconds; the age at which a temporary file counts as abandoned, where nothing can be locked


def write_file(path: StrPath, data: bytes) -> None:
    """Write a file atomically: a crash leaves the old content or the new one, never a part of it."""
    _write({Path(path): data})


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together, in one folder: a record, then its members, which `read_member` reads.

    A member can itself be the record of members that follow it.
    """
    record = next(iter(contents))
    busy = f"{shown(record)} is being written by a different process; try again when it has ended"
    with locked(record.with_name(f".{_short(record)}.lock"), timeout=_PATIENCE, busy=busy):
        _write(contents)


def read_member(path: Path, sha256: str, *, limit: int | None = None) -> bytes:
    """Read a member of files that belong together, with the hash in their record; see `read_file`."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return read_file(path, limit=limit, sha256=sha256)
    if re.fullmatch("[0-9a-f]{64}", sha256):
        for staged in path.parent.glob(f".{glob.escape(_short(path))}.{sha256[:_HASH_DIGITS]}*"):
            with contextlib.suppress(OSError, ValueError):
                return read_file(staged, limit=limit, sha256=sha256)
    return read_file(path, limit=limit, sha256=sha256)  # which may have been renamed meanwhile


def write_folder(path: StrPath, contents: Mapping[str, bytes]) -> None:
    """Write a new folder of files atomically: a crash leaves the complete folder, or none."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with trial_folder(path) as temporary:
        for name, data in contents.items():
            handle = _make_file(temporary / name)
            try:
                _fill(handle, data)
            finally:
                os.close(handle)
        flush_folder(temporary)
        _replace(temporary, path)
    flush_folder(path.parent)
    clear_leftovers(path.parent, glob.escape(_short(path)))


@contextlib.contextmanager
def trial_folder(path: StrPath) -> Iterator[Path]:
    """Yield a new folder beside a path, and remove it at the end unless it was renamed."""
    with _held(Path(path), "", _make_folder) as (temporary, _):
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def clear_leftovers(folder: Path, name: str) -> None:
    """Remove the temporary files of a target that killed processes left, but none of a live process.

    Parameters
    ----------
    folder
        The folder of the target.
    name
        The name of the target, or a pattern.
    """
    for leftover in folder.glob(f".{name}.{'[0-9a-f]' * _DIGITS}"):
        with contextlib.suppress(OSError):  # what cannot be removed does no harm
            _clear(leftover)


def flush_folder(path: Path) -> None:
    """Flush the entries of a folder to disk, on systems that can open folders."""
    with contextlib.suppress(PermissionError, IsADirectoryError):  # Windows cannot
        handle = os.open(path, os.O_RDONLY)
        try:
            _flush(handle)
        finally:
            os.close(handle)


def _clear(leftover: Path) -> None:
    handle = _open(leftover)
    try:
        abandoned = _lock(handle)
        if abandoned is None:
            abandoned = time.time() - leftover.stat().st_mtime > _ABANDONED
        if abandoned and leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        elif abandoned:
            leftover.unlink()
    finally:
        _close(handle)


def _write(contents: Mapping[Path, bytes]) -> None:
    record, staged = next(iter(contents)), dict[Path, Path]()
    with contextlib.ExitStack() as stack:
        try:
            for path, data in contents.items():
                digest = hashlib.sha256(data).hexdigest()[:_HASH_DIGITS]
                with _naming(path):
                    staged[path], handle = stack.enter_context(_held(path, digest, _make_file))
                    _fill(handle, data)
            if len(contents) > 1:
                flush_folder(record.parent)  # members are found by name as soon as the record is renamed
            if fcntl is None:  # nothing is locked, and Windows cannot rename open files
                stack.close()
            for path, temporary in staged.items():
                with _naming(path):
                    _replace(temporary, path)
        except BaseException:
            if record in staged and staged[record].exists():  # else the record is in its place, and needs its members
                for temporary in staged.values():
                    with contextlib.suppress(OSError):
                        temporary.unlink()
            raise
    flush_folder(record.parent)
    for path in contents:
        clear_leftovers(path.parent, glob.escape(_short(path)))


@contextlib.contextmanager
def _naming(target: Path) -> Iterator[None]:
    """Let errors of the system name the target, not its temporary file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error


def _fill(handle: int, data: bytes) -> None:
    """Write an open file, and flush it to disk."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
    _flush(handle)


def _flush(handle: int) -> None:
    """Flush an open file or folder to disk, on file systems that can."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def _replace(source: Path, target: Path) -> None:
    """Rename. On Windows, wait for readers to close the target."""
    for pause in _PAUSES if os.name == "nt" else ():
        with contextlib.suppress(PermissionError):
            os.replace(source, target)  # noqa: PTH105 (one function for files and folders, which tests can make fail)
            return
        time.sleep(pause)
    os.replace(source, target)  # noqa: PTH105


@contextlib.contextmanager
def _held(path: Path, digest: str, make: Callable[[Path], Handle]) -> Iterator[tuple[Path, Handle]]:
    """Create a temporary file or folder for a target, and lock it while this process uses it."""
    while True:
        token = digest + secrets.token_hex(_DIGITS)[: _DIGITS - len(digest)]
        temporary = path.with_name(f".{_short(path)}.{token}")
        handle = make(temporary)
        if _lock(handle) is not False and temporary.exists():  # else another process took it for abandoned
            break
        _close(handle)
    try:
        yield temporary, handle
    finally:
        _close(handle)


def _make_file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def _make_folder(path: Path) -> int | None:
    path.mkdir()
    return _open(path)


def _open(path: Path) -> int | None:
    """Open a file or folder to lock it; return None on systems that cannot open folders."""
    try:
        return os.open(path, os.O_RDONLY)
    except PermissionError:
        return None


def _close(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


def _lock(handle: int | None) -> bool | None:
    """Lock an open file or folder; return False if it is locked already, and None where that is not possible."""
    if handle is None or fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in {errno.EAGAIN, errno.EACCES} else None
    return True


def _short(path: Path) -> str:
    """Return the name of a target, shortened so that the name of its temporary file is not too long."""
    return os.fsencode(path.name)[:_LONGEST_NAME].decode(errors="ignore")
