"""Locks between processes. The system releases the lock of a process that ends, even if it is killed."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from .paths import shown

LOCK = ".lock"
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)  # by a file system, which is then used without locks


@contextlib.contextmanager
def locked(path: Path, *, timeout: float, busy: str) -> Iterator[None]:
    """Hold a lock file, which is removed at the end of the block.

    Parameters
    ----------
    path
        The lock file, in an existing folder.
    timeout
        Seconds to wait for a different holder, in this process or another.
    busy
        Message of the error if the lock is still held then.

    Raises
    ------
    ValueError
        The lock is held.
    """
    lock = FileLock(path, timeout=timeout)
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(busy) from error
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    try:
        yield
    finally:
        try:
            with contextlib.suppress(OSError):  # Windows cannot remove an open file
                path.unlink()
        finally:
            lock.release()
        if os.name == "nt":
            with contextlib.suppress(OSError):  # a different process may have opened it
                path.unlink()


@contextlib.contextmanager
def claimed(folder: Path, *, new: bool = False) -> Iterator[None]:
    """Claim a folder for one training run. It is created if missing, and removed if it is still empty at the end.

    Parameters
    ----------
    folder
        The folder.
    new
        Whether the folder must not exist yet.

    Raises
    ------
    FileExistsError
        The folder exists, and `new` is True.
    ValueError
        A training run that has not ended, in this process or another, claims the folder, or the path is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{shown(folder)} is a file; expected a folder or a new path")
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=not new)
    busy = f"{shown(folder)} is in use by a training run that has not ended; wait for it, or choose a different folder"
    try:
        with locked(folder / LOCK, timeout=0, busy=busy):
            yield
    finally:
        with contextlib.suppress(OSError):  # not empty
            for path in created:
                path.rmdir()
