"""Load the compiled kernels, and call them."""

import ctypes
import functools
import os
import sys
import zlib
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

FEW = 8
"""Largest batch size at which a single C call is faster than torch's separate operators."""

INSTRUCTION_SETS = ("avx512", "avx2", "neon")
"""The instruction sets for which the kernels are written."""

_TYPES = {"p": ctypes.c_void_p, "i": ctypes.c_int, "l": ctypes.c_int64, "f": ctypes.c_float}
_SUFFIXES = {"win32": "dll", "darwin": "dylib"}


class Library:
    """The functions of the compiled library for one instruction set.

    Parameters
    ----------
    compiled
        The library.
    instruction_set
        One of `INSTRUCTION_SETS`; the names of its functions end with it.
    """

    def __init__(self, compiled: Any, instruction_set: str) -> None:
        self.instruction_set: str = instruction_set
        self._compiled = compiled

    def function(self, name: str, arguments: str, result: str | None = None) -> Any:
        """Return a C function, with types: "p" for a pointer, "i" for int, "l" for int64_t, "f" for float."""
        function = self._compiled[f"{name}_{self.instruction_set}"]
        function.argtypes = [_TYPES[letter] for letter in arguments]
        function.restype = _TYPES[result] if result else None
        return function

    def compiler(self) -> str:
        """Return the name and version of the compiler that built the library."""
        return _text(self._compiled, "lenet5_compiler")


@functools.cache
def load() -> Library | None:
    """Load the compiled library, for the fastest instruction set of this processor.

    LENET5_KERNELS in the environment selects another of `INSTRUCTION_SETS`, or "none".

    Returns
    -------
    Library or None
        None if the library was not built, was built from different sources (its name has a checksum of them), or the
        processor lacks the instruction set.

    Raises
    ------
    ValueError
        LENET5_KERNELS is unknown.
    """
    wanted = os.environ.get("LENET5_KERNELS", "")
    if wanted not in {"", "none", *INSTRUCTION_SETS}:
        raise ValueError(f"LENET5_KERNELS is {wanted!r}; expected none, {', '.join(INSTRUCTION_SETS[:-1])} or neon")
    if wanted == "none":
        return None
    compiled = _compiled()
    usable = [name for name in _instruction_sets(compiled) if wanted in {"", name}]
    return Library(compiled, usable[0]) if usable else None


def description() -> str:
    """Return a phrase for `lenet5 info`: the instruction set and the compiler, or why no kernels are used."""
    library, compiled, wanted = load(), _compiled(), os.environ.get("LENET5_KERNELS")
    if library is not None:
        return f"{library.instruction_set}, compiled by {library.compiler()}"
    if wanted == "none":
        return "turned off by LENET5_KERNELS=none"
    if compiled is None:
        return "none, because the package was built without a C compiler"
    available = " ".join(_instruction_sets(compiled)) or "no instruction set that they are written for"
    return f"none, because the processor has {available}" + (f", not {wanted}" if wanted else "")


def _compiled() -> Any:
    """Load the library; return None if it was not built for this system."""
    try:
        return ctypes.CDLL(str(_path()))
    except OSError:
        return None


def _instruction_sets(compiled: Any) -> list[str]:
    return _text(compiled, "lenet5_instruction_sets").split() if compiled else []


def _text(compiled: Any, name: str) -> str:
    function = compiled[name]
    function.restype = ctypes.c_char_p
    result: bytes = function()
    return result.decode()


def _path() -> Path:
    folder = Path(__file__).parent
    version = zlib.crc32(b"".join(file.read_bytes() for file in sorted(folder.glob("*.[ch]"))))
    return folder / f"liblenet5-{version:08x}.{_SUFFIXES.get(sys.platform, 'so')}"


def pointers(addresses: Sequence[int]) -> Any:
    """Return addresses as a C array of pointers."""
    return (ctypes.c_void_p * len(addresses))(*addresses)


convolution_settings: Callable[[Any], tuple[Any, ...]] = attrgetter(
    "stride", "padding", "dilation", "groups", "padding_mode"
)
UNPADDED = ((1, 1), (0, 0), (1, 1), 1, "zeros")
PADDED = ((1, 1), (2, 2), (1, 1), 1, "zeros")
