"""What an export writes: files, and the tensors that they take and give."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import storage
from ..storage import StrPath


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Examples
    --------
    >>> exported = lenet5.export.export_c(lenet5.load("mnist_v2"), "digit.c")
    >>> [path.name for path in exported.files]
    ['digit.c', 'digit.h']
    """

    files: tuple[Path, ...]
    """The files that were written."""

    description: tuple[str, ...]
    """One line per input, output or other fact about the files."""


def write_export(path: StrPath, data: bytes) -> Path:
    """Write the file of an export atomically, in a folder that is created if it is missing; return its path.

    Raises
    ------
    ValueError
        The path is a folder or a device, or a part of it is a file.
    """
    return write_exports({storage.as_path(path): data})[0]


def write_exports(contents: Mapping[Path, bytes]) -> tuple[Path, ...]:
    """Write the files of an export, none of them if a path is wrong; see `write_export`."""
    for target in contents:
        if target.is_dir():
            raise ValueError(f"{storage.shown(target)} is a folder; expected the name of a file in it")
        if target.exists() and not target.is_file():
            raise ValueError(f"{storage.shown(target)} is a device or a pipe; expected a file or a new path")
    for target in contents:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(f"{storage.shown(target.parent)} is not a folder; expected one, or a new path") from error
    for target, data in contents.items():
        storage.write_file(target.resolve(), data)  # of a link, the file to which it leads
    return tuple(contents)
