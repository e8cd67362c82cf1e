"""What an export writes: files, and the tensors that they take and give."""

from dataclasses import dataclass
from pathlib import Path

from .. import storage
from ..storage import StrPath


@dataclass(frozen=True)
class Exported:
    """The result of an export."""

    files: tuple[Path, ...]
    """The files that were written."""

    description: tuple[str, ...]
    """One line per input, output or other fact about the files."""


def write_export(path: StrPath, data: bytes) -> Path:
    """Write the file of an export atomically, in a folder that is created if it is missing; return its path.

    Raises
    ------
    ValueError
        The path is a folder, or a part of it is a file.
    """
    target = storage.as_path(path)
    if target.is_dir():
        raise ValueError(f"{storage.shown(target)} is a folder; expected the name of a file in it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"{storage.shown(target.parent)} is not a folder; expected one, or a new path") from error
    storage.write_file(target, data)
    return target
