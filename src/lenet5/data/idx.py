"""Read the IDX files of MNIST-style datasets, packed or not, under any of the names in use."""

import gzip
import math
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import storage
from ..storage import StrPath

_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_LARGEST = 188_160_016  # bytes of the largest file of all datasets, EMNIST's training images
_FOREIGN = 1 << 20  # bytes to read of a file that is not IDX; more is not needed to tell

DELETE = "delete it to download it again"


class Header(NamedTuple):
    """The header of an IDX file."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    @property
    def offset(self) -> int:
        """Position of the first value in bytes."""
        return 4 + 4 * len(self.shape)

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.offset + self.dtype.itemsize * math.prod(self.shape)


def find_idx(folder: Path, name: str) -> Path | None:
    """Return the path of an IDX file in a folder; None if there is none.

    Mirrors name the file `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, packed as `.gz` or not. Some archives
    unpack to a folder of that name, which contains the file.
    """
    for candidate in (name, name.replace("-idx", ".idx")):
        for path in (folder / candidate, folder / candidate / candidate):
            for file in (path, path.with_name(f"{path.name}.gz")):
                if file.is_file():
                    return file
    return None


def read_idx(path: Path) -> Tensor:
    """Read an IDX file after checking its length against its header.

    Parameters
    ----------
    path
        The file; packed if its name ends in `.gz`.

    Returns
    -------
    Tensor
        1 to 3 dimensions. uint8 values stay uint8; all other types become int64.

    Raises
    ------
    ValueError
        The file is not an IDX file, is empty, or has the wrong length.
    """
    return parse_idx(read_content(path), f"{storage.shown(path)} ({DELETE})")


def read_content(path: Path) -> bytes:
    """Return the content of an IDX file, unpacked, but not more than one byte beyond the size in its header."""
    with storage.open_file(path) as file:
        return unpack(file, f"{storage.shown(path)} ({DELETE})") if path.suffix == ".gz" else _read(file)


def unpack(file: IO[bytes], description: str) -> bytes:
    """Unpack an IDX file, but not more than one byte beyond the size in its header."""
    try:
        return _read(gzip.GzipFile(fileobj=file))
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{description} is not a complete gzip file: {error}") from error


def parse_idx(data: bytes, description: StrPath) -> Tensor:
    """Convert the content of an IDX file to a tensor; see `read_idx`."""
    header = _header(data)
    if header is None:
        found = f"starts with 0x{data[:4].hex()}"
        raise ValueError(f"{description} {found}; expected an IDX file of 1 to 3 dimensions")
    if len(data) != header.size or not all(header.shape):
        found = f"has {len(data)} bytes and shape {header.shape}"
        raise ValueError(f"{description} {found}; expected {header.size} bytes, not empty")
    values = np.frombuffer(data, header.dtype, offset=header.offset).reshape(header.shape)
    return torch.from_numpy(values.astype(np.uint8 if header.dtype == np.uint8 else np.int64))


def _read(file: BufferedIOBase | IO[bytes]) -> bytes:
    start = file.read(16)  # the longest header
    header = _header(start)
    size = _FOREIGN if header is None or header.size > _LARGEST else header.size
    return start + file.read(max(0, size + 1 - len(start)))


def _header(data: bytes) -> Header | None:
    """Parse a header; return None if it is not one of an IDX file of 1 to 3 dimensions."""
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES or not 1 <= data[3] <= 3:
        return None
    sides = (data[4 + 4 * axis : 8 + 4 * axis] for axis in range(data[3]))
    return Header(np.dtype(_TYPES[data[2]]), tuple(int.from_bytes(side, "big") for side in sides))
