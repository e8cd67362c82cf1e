"""What a report consists of: sections of paragraphs, tables, figures, images and text to copy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import pandas as pd

NUMBER = re.compile(r"[-+?]|[-+]?[\d.,]+(e[-+]?\d+)?( ± [.\d]+)?( %)?")


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    kind: ClassVar[str] = "paragraph"
    text: str
    is_lead: bool = False
    """Whether it is the result of the report, set in larger type."""


@dataclass(frozen=True)
class Table:
    """A table; the cells of its first column are the headers of their rows."""

    kind: ClassVar[str] = "table"
    caption: str
    frame: pd.DataFrame
    """Text, and numbers as text."""

    @property
    def numeric(self) -> list[bool]:
        """Whether a column has numbers alone, which are aligned to the right."""
        return [all(map(NUMBER.fullmatch, self.frame[name])) for name in self.frame]


@dataclass(frozen=True)
class Picture:
    """A figure."""

    kind: ClassVar[str] = "picture"
    uri: str
    """The data of the image, as a URI."""

    width: int
    """Width at full size, in CSS pixels."""

    height: int
    alt: str
    caption: str


@dataclass(frozen=True)
class Pictures:
    """Figures side by side, or one below the other where the page is narrow."""

    kind: ClassVar[str] = "pictures"
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Digit:
    """A small image with its caption."""

    uri: str
    alt: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Gallery:
    """Small images on a grid."""

    kind: ClassVar[str] = "gallery"
    caption: str
    digits: Sequence[Digit]


@dataclass(frozen=True)
class Code:
    """Text to copy."""

    kind: ClassVar[str] = "code"
    label: str
    text: str

    @property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.rstrip("\n").split("\n")


Block = Paragraph | Table | Picture | Pictures | Gallery | Code


@dataclass(frozen=True)
class Section:
    """A section with its heading."""

    title: str
    blocks: list[Block] = field(default_factory=list)
