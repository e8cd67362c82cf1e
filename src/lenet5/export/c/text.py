"""Numbers, arrays, strings, comments and identifiers of C."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_WIDTH = 110
_FLOATS, _INTEGERS = 7, 14  # in a line


def number(value: float) -> str:
    """Return a float32 as a constant: nine significant digits identify it, for every compiler and locale."""
    digits = f"{float(np.float32(value)):.9g}"
    return f"{digits}f" if re.search(r"[.e]", digits) else f"{digits}.0f"


def string(text: str) -> str:
    r"""Return a string constant of plain ASCII; other bytes of its UTF-8 are escaped, and so are trigraphs."""
    return '"' + "".join(map(_character, text.encode("utf-8", "surrogatepass"))) + '"'


def _character(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"


def comment(text: str, *, indent: str = "") -> str:
    """Return a comment, wrapped; nothing in the text ends it, or is special in a comment."""
    paragraphs = [textwrap.wrap(harmless(line), _WIDTH - 4) or [""] for line in text.split("\n")]
    lines = [line for paragraph in paragraphs for line in paragraph]
    if len(lines) == 1:
        return f"{indent}/* {lines[0]} */"
    body = "\n".join(f"{indent} * {line}".rstrip() for line in lines)
    return f"{indent}/*\n{body}\n{indent} */"


def harmless(text: str) -> str:
    r"""Return text for a comment: plain ASCII without `*/`, `/*`, `??` and `\\`."""
    ascii_text = "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in text)
    return re.sub(r"\*(?=/)|/(?=\*)|\?(?=\?)", r"\g<0> ", ascii_text).replace("\\", "<backslash>")


def check_prefix(prefix: str) -> str:
    """Return a prefix of names in C.

    Raises
    ------
    ValueError
        Names that start with it would be no identifiers, or reserved for compilers.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,30}", prefix) or "__" in f"{prefix}_":
        raise ValueError(
            f"the prefix is {prefix!r}; expected 1 to 31 letters, digits and single underscores, such as 'lenet5':"
            " a letter first, and no underscore last"
        )
    return prefix


def ctype(dtype: np.dtype[Any]) -> str:
    """Return the type of C of a dtype of NumPy."""
    return "float" if dtype == np.float32 else f"{dtype.name}_t"


@dataclass(frozen=True)
class Constants:
    """A constant array of C."""

    name: str
    ctype: str
    values: npt.NDArray[Any]
    about: str = ""

    @property
    def size(self) -> int:
        """Return the size in bytes."""
        return self.values.nbytes

    def __str__(self) -> str:
        shape = "".join(f"[{length}]" for length in self.values.shape)
        about = f"{comment(self.about)}\n" if self.about else ""
        return f"{about}static const {self.ctype} {self.name}{shape} = {_nested(self.values)};"


@dataclass(frozen=True)
class Strings:
    """A constant array of strings of C, which other files see."""

    name: str
    texts: Sequence[str]

    @property
    def size(self) -> int:
        """Return the size in bytes."""
        return len(self.texts) * self._length

    @property
    def _length(self) -> int:
        return 1 + max(len(text.encode("utf-8", "surrogatepass")) for text in self.texts)

    @property
    def declaration(self) -> str:
        """Return the declaration, without the values."""
        return f"const char {self.name}[{len(self.texts)}][{self._length}]"

    def __str__(self) -> str:
        return f"{self.declaration} = {{\n" + "".join(f"    {string(text)},\n" for text in self.texts) + "};"


def _nested(values: npt.NDArray[Any]) -> str:
    """Return the initialiser of an array: the innermost axes as rows of numbers, braces for each axis."""
    if values.ndim > 1:
        return "{\n" + ",\n".join(textwrap.indent(_nested(row), "    ") for row in values) + "\n}"
    texts = [number(value) if values.dtype.kind == "f" else str(value) for value in values.tolist()]
    count = _FLOATS if values.dtype.kind == "f" else _INTEGERS
    lines = [", ".join(texts[start : start + count]) for start in range(0, len(texts), count)]
    return f"{{ {lines[0]} }}" if len(lines) == 1 else "{\n    " + ",\n    ".join(lines) + "\n}"
