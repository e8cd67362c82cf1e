"""Tensors in the safetensors format."""

from collections.abc import Mapping

from safetensors.torch import load, save
from torch import Tensor

from .atomic import write_file
from .objects import LARGEST
from .paths import StrPath, shown
from .reading import read_file


def tensors_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Serialise tensors in the safetensors format.

    The file has no metadata, such as a format: the published hashes are those of files without.
    """
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
    return parse_tensors(read_file(path, sha256=sha256), path)


def tensors_limit(tensors: Mapping[str, Tensor]) -> int:
    """Return the largest size in bytes of a safetensors file with tensors like these, which may be on "meta"."""
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors.values()) + LARGEST


def parse_tensors(data: bytes, path: StrPath) -> dict[str, Tensor]:
    """Parse the content of a safetensors file; raise ValueError if it is not one."""
    header = int.from_bytes(data[:8], "little")  # the size of the description of the tensors, in JSON
    if LARGEST < header <= len(data):
        raise ValueError(f"{shown(path)} is not a safetensors file: its header has {header} bytes; expected {LARGEST}")
    try:
        return load(data)
    except Exception as error:  # the parser documents no base class for its errors
        raise ValueError(f"{shown(path)} is not a safetensors file: {error}") from error
