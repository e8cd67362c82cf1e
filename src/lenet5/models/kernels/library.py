"""Load the compiled kernels, and call them."""

import ctypes
import functools
import os
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

FEW = 8
"""Largest batch size at which a single C call is faster than torch's separate operators."""

_TYPES = {"p": ctypes.c_void_p, "i": ctypes.c_int, "l": ctypes.c_long, "f": ctypes.c_float}


@functools.cache
def load(name: str) -> ctypes.CDLL | None:
    """Load a compiled library; return None if it was not built, or if LENET5_KERNELS=none turns the kernels off."""
    if os.environ.get("LENET5_KERNELS") == "none":
        return None
    try:
        return ctypes.CDLL(str(Path(__file__).with_name(f"lib{name}.so")))
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
