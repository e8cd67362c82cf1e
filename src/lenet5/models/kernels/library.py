"""Load the compiled kernels, and call them."""

import ctypes
import functools
import os
import zlib
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

FEW = 8
"""Largest batch size at which a single C call is faster than torch's separate operators."""

_TYPES = {"p": ctypes.c_void_p, "i": ctypes.c_int, "l": ctypes.c_long, "f": ctypes.c_float}


@functools.cache
def load(name: str) -> ctypes.CDLL | None:
    """Load a compiled library; return None if LENET5_KERNELS=none turns the kernels off.

    Return None, too, if it was not built, or was built from different sources: its name has a checksum of them.
    """
    if os.environ.get("LENET5_KERNELS") == "none":
        return None
    folder = Path(__file__).parent
    version = zlib.crc32(b"".join(file.read_bytes() for file in sorted(folder.glob("*.[ch]"))))
    try:
        return ctypes.CDLL(str(folder / f"lib{name}-{version:08x}.so"))
    except OSError:
        return None


def bind(function: Any, arguments: str, result: str | None = None) -> None:
    """Set the types of a C function: "p" for a pointer, "i" for an int, "l" for a long, "f" for a float."""
    function.argtypes = [_TYPES[letter] for letter in arguments]
    function.restype = _TYPES[result] if result else None


def pointers(addresses: Sequence[int]) -> Any:
    """Return addresses as a C array of pointers."""
    return (ctypes.c_void_p * len(addresses))(*addresses)


convolution_settings: Callable[[Any], tuple[Any, ...]] = attrgetter(
    "stride", "padding", "dilation", "groups", "padding_mode"
)
UNPADDED = ((1, 1), (0, 0), (1, 1), 1, "zeros")
PADDED = ((1, 1), (2, 2), (1, 1), 1, "zeros")
