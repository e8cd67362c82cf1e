"""Which column of a table holds the label, and which hold the pixels."""

import csv
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .. import storage

LABELS = ("label", "labels", "y", "target", "targets", "class", "digit")
_IGNORED = re.compile(r"|id|index|unnamed: \d+")  # pandas writes its index without a name
_MOST_CLASSES = 100  # a column of more values is one of pixels


@dataclass(frozen=True)
class Columns:
    """Which column holds what.

    Attributes
    ----------
    separator
        Character between two cells.
    has_header
        Whether the first row holds names.
    count
        Number of columns.
    label
        Position of the label.
    pixels
        Positions of the pixels, row by row of an image.
    shape
        (H, W) or (H, W, 3), of one image.
    is_guess
        Whether nothing but its position tells the label.
    """

    separator: str
    has_header: bool
    count: int
    label: int
    pixels: list[int]
    shape: tuple[int, ...]
    is_guess: bool

    @classmethod
    def of(cls, path: Path, line: str) -> Self:
        """Derive the columns from the first line of a file.

        Raises
        ------
        ValueError
            The line is empty, no column holds labels, or the number of pixels makes no image.
        """
        separator = max(",;\t", key=line.count)
        cells = [cell.strip().lower() for cell in next(csv.reader([line.lstrip("# ")], delimiter=separator), [])]
        if not cells:
            raise ValueError(f"{storage.shown(path)} is empty; expected a label and pixels in each row")
        has_header = _is_header(cells)
        kept = [index for index, cell in enumerate(cells) if not (has_header and _IGNORED.fullmatch(cell))]
        if not has_header or _is_range([cells[index] for index in kept]):
            label = len(cells) - 1 if cells[-1] and not _is_number(cells[-1]) and _is_number(cells[0]) else kept[0]
            is_guess = _is_number(cells[label])
        else:
            label, is_guess = _named_label(path, {index: cells[index] for index in kept}), False
        pixels = [index for index in kept if index != label]
        if has_header and not is_guess:
            pixels = _in_order(path, {index: cells[index] for index in pixels})
        return cls(separator, has_header, len(cells), label, pixels, _shape(path, cells, pixels), is_guess)

    def check(self, path: Path, labels: Collection[str], last: Collection[int]) -> None:
        """Raise ValueError if the last column looks more like labels than the labels by position do."""
        if not self.is_guess or not all(label.isdecimal() for label in labels):
            return  # names are no pixels
        first = {int(label) for label in labels}
        if _are_like_labels(last) and len(last) > (len(first) if _are_like_labels(first) else 0):
            raise ValueError(
                f"{storage.shown(path)}: the first column looks like pixels, and the last like labels ({min(last)} to"
                f" {max(last)}); expected the labels first, or a header that names their column label"
            )


def _is_header(cells: list[str]) -> bool:
    if len(set(cells)) < len(cells):  # names differ; pixels rarely do
        return False
    numbers = [cell for cell in cells if _is_number(cell)]
    has_names = len(cells) - len(numbers) > 1 or any(cell in LABELS for cell in cells)
    return has_names or _is_range(numbers)


def _is_range(cells: list[str]) -> bool:
    """Return True for pandas' default names: the integers from 0, or from 1."""
    return len(cells) > 1 and any(cells == [str(start + index) for index in range(len(cells))] for start in (0, 1))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _named_label(path: Path, names: dict[int, str]) -> int:
    """Return the column with a usual name of labels, or the only one whose name has no number as pixels have."""
    usual = [index for index, name in names.items() if name in LABELS]
    found = usual or [index for index, name in names.items() if not re.search(r"\d", name)]
    if len(found) != 1:
        columns = f"has {len(names)} columns, and none for labels" if not usual else "has several columns of labels"
        raise ValueError(
            f"{storage.shown(path)} {columns}; expected a label and its pixels, with the label in one column named"
            f" {', '.join(LABELS[:-1])} or {LABELS[-1]}"
        )
    return found[0]


def _in_order(path: Path, names: dict[int, str]) -> list[int]:
    """Return the columns of pixels in the order of the numbers in their names."""
    columns = list(names)
    numbers = {index: [int(number) for number in re.findall(r"\d+", name)] for index, name in names.items()}
    if len({re.sub(r"\d+", "0", name) for name in names.values()}) != 1 or not all(numbers.values()):
        return columns  # names that do not count
    ordered = sorted(columns, key=numbers.__getitem__)
    if ordered != columns and len(numbers[columns[0]]) > 1:  # which number is that of the row?
        raise ValueError(
            f"{storage.shown(path)} has pixels in the order {names[columns[0]]}, {names[columns[1]]}, ...; expected"
            " them row by row, or with one number each: pixel0, pixel1, ..."
        )
    return ordered


def _shape(path: Path, cells: list[str], pixels: list[int]) -> tuple[int, ...]:
    for channels in ((), (3,)):
        side = math.isqrt(len(pixels) // math.prod(channels))
        if side and side * side * math.prod(channels) == len(pixels):
            return side, side, *channels
    without_label = math.isqrt(len(cells)) ** 2 == len(cells)
    raise ValueError(
        f"{storage.shown(path)} has {len(cells)} columns{', and none for labels' if without_label else ''};"
        " expected a label and its pixels, whose number is a square (784 for 28x28) or three times a square"
    )


def _are_like_labels(values: Collection[int]) -> bool:
    """Return True for integers that count from 0 or 1 without a gap."""
    low, high = min(values, default=2), max(values, default=2)
    return low in (0, 1) and 1 < len(values) <= _MOST_CLASSES and len(values) == high - low + 1
