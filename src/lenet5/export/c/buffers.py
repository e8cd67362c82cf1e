"""The buffers between the layers: each layer reads one of two and writes the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]

SIZES = {"float": 4, "int8_t": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4}
"""Bytes of the types of C."""

_PLACES = ("first", "second")


@dataclass(frozen=True)
class Buffer:
    """A place in the workspace: its type, its sizes, and which of the two buffers it is in."""

    name: str
    ctype: str
    shape: Shape
    place: str

    @property
    def declaration(self) -> str:
        """Return its declaration."""
        return f"{self.ctype} {self.name}" + "".join(f"[{length}]" for length in self.shape) + ";"

    @property
    def member(self) -> str:
        """Return how functions refer to it."""
        return f"{self.place}.{self.name}"

    @property
    def size(self) -> int:
        """Return its size in bytes."""
        return math.prod(self.shape) * SIZES[self.ctype]


def alternate(values: Mapping[str, tuple[str, Shape]]) -> list[Buffer]:
    """Place values, given by name as types and shapes in the order of computation, in the two buffers by turns."""
    return [
        Buffer(name, ctype, shape, _PLACES[number % 2]) for number, (name, (ctype, shape)) in enumerate(values.items())
    ]


def workspace_size(buffers: Sequence[Buffer]) -> int:
    """Return the size of the workspace in bytes, as compilers align it."""
    total = 0
    alignment = max(SIZES[buffer.ctype] for buffer in buffers)
    for place in _PLACES:
        members = [buffer for buffer in buffers if buffer.place == place]
        aligned = max(SIZES[buffer.ctype] for buffer in members)
        total = _round_up(total, aligned) + _round_up(max(buffer.size for buffer in members), aligned)
    return _round_up(total, alignment)


def workspace(buffers: Sequence[Buffer]) -> str:
    """Return the declaration of the workspace."""
    unions = []
    for place in _PLACES:
        members = "\n".join(f"        {buffer.declaration}" for buffer in buffers if buffer.place == place)
        unions.append(f"    union {{\n{members}\n    }} {place};")
    about = "/* The layers read one of two buffers and write the other, by turns. */"
    return f"{about}\nstruct workspace {{\n" + "\n".join(unions) + "\n};\n"


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
