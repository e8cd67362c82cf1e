"""Images of one's own in a .csv file with one image per row, as on Kaggle."""

import contextlib
import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .. import notebook, storage
from ..storage import StrPath
from .preprocess import Preprocess

if TYPE_CHECKING:
    import pandas as pd

_LABELS = ("label", "class", "target")
_IGNORED = ("", "id")
_ROWS = 4096  # read at a time, which bounds the memory
_LINE = 1 << 20  # bytes of the first line: more than any header has
_CELL = 32  # bytes of a cell: more than a pixel takes


@dataclass(frozen=True)
class _Layout:
    """Which column holds what."""

    separator: str
    has_header: bool
    columns: int
    label: int
    pixels: list[int]
    shape: tuple[int, ...]  # of one image: (H, W) or (H, W, 3)

    @classmethod
    def of(cls, path: Path, line: str) -> Self:
        """Derive the layout from the first line of a file."""
        separator = max(",;\t", key=line.count)
        cells = [cell.strip().lower() for cell in next(csv.reader([line], delimiter=separator), [])]
        named = [index for index, cell in enumerate(cells) if cell in _LABELS]
        has_header = bool(named) or sum(not _is_number(cell) for cell in cells) > 1
        label = named[0] if named else 0
        ignored = [index for index, cell in enumerate(cells) if named and cell in _IGNORED]
        pixels = [index for index in range(len(cells)) if index != label and index not in ignored]
        for channels in ((), (3,)):
            side = math.isqrt(len(pixels) // math.prod(channels))
            if side and side * side * math.prod(channels) == len(pixels):
                return cls(separator, has_header, len(cells), label, pixels, (side, side, *channels))
        if not cells:
            raise ValueError(f"{storage.shown(path)} is empty; expected a label and pixels in each row")
        without_label = math.isqrt(len(cells)) ** 2 == len(cells)
        raise ValueError(
            f"{storage.shown(path)} has {len(cells)} columns{', and none for labels' if without_label else ''};"
            " expected a label and its pixels, whose number is a square (784 for 28x28) or three times a square"
        )


def read_table(path: StrPath, preprocess: Preprocess) -> tuple[Tensor, list[str]]:
    """Read the images and labels of a table; see `ImageDataset.from_csv`.

    Returns
    -------
    images
        (N, channels, image_size, image_size) uint8.
    labels
        The class name of each image.
    """
    import pandas as pd

    path = storage.as_path(path)
    shown = storage.shown(path)
    images, labels = [], []
    with contextlib.ExitStack() as stack, _one_error(path):
        with _open(path) as file:
            line = file.readline(_LINE)
        layout = _Layout.of(path, line.decode("utf-8-sig").strip("\r\n"))
        longest = max(len(line), _CELL * (len(layout.pixels) + 100))
        file = stack.enter_context(_open(path))
        chunks = pd.read_csv(
            io.BufferedReader(_Rows(file, longest, shown)),
            sep=layout.separator,
            header=None,
            skiprows=int(layout.has_header),
            dtype={layout.label: str},
            na_values=[""],
            keep_default_na=False,
            chunksize=_ROWS,
            low_memory=False,
            encoding="utf-8-sig",
        )
        options = {"desc": storage.shown(path.name), "unit": f"x{_ROWS} rows", "leave": False, "disable": None}
        for chunk in notebook.progress_bars()(chunks, **options):
            if chunk.shape[1] != layout.columns:
                raise ValueError(
                    f"{shown}, row {_row(layout, chunk, 0)}: {chunk.shape[1]} columns; expected {layout.columns}, as in"
                    " the first row"
                )
            pixels = _pixels(path, layout, chunk).reshape(-1, *layout.shape)
            images.append(preprocess.resize(pixels if pixels.ndim == 4 else pixels[:, None]))
            labels += _labels(path, layout, chunk)
    if not images:
        raise ValueError(f"{shown} holds no rows; expected a label and pixels in each")
    return torch.cat(images), labels


@contextlib.contextmanager
def _one_error(path: Path) -> Iterator[None]:
    """Name the file in whatever an unreadable table raises."""
    import pandas as pd

    try:
        yield
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise ValueError(f"{storage.shown(path)} is not a readable table: {storage.shown(error)}") from error
    except FileNotFoundError:
        raise
    except (OSError, EOFError) as error:
        raise ValueError(f"{storage.shown(path)} cannot be read: {error}") from error


@contextlib.contextmanager
def _open(path: Path) -> Iterator[io.BufferedIOBase]:
    with storage.open_file(path) as file:
        yield gzip.GzipFile(fileobj=file) if path.suffix.lower() == ".gz" else file


class _Rows(io.RawIOBase):
    """The content of a table, which ends in a ValueError at a row that is too long: it would fill the memory."""

    def __init__(self, file: io.BufferedIOBase, longest: int, description: str) -> None:
        self._file, self._longest, self._description = file, longest, description
        self._length = 0  # bytes of the row that has not ended yet

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._longest))
        lines = data.split(b"\n")
        self._length = len(lines[-1]) + (self._length if len(lines) == 1 else 0)
        if self._length > self._longest:
            raise ValueError(
                f"{self._description} holds a row of more than {self._longest} bytes; expected a label and pixels"
            )
        buffer[: len(data)] = data
        return len(data)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _pixels(path: Path, layout: _Layout, chunk: "pd.DataFrame") -> npt.NDArray[np.uint8]:
    """Return (rows, columns) uint8 after checking every value."""
    import pandas as pd

    table = chunk[layout.pixels]
    if any(dtype.kind not in "iuf" for dtype in table.dtypes.tolist()):
        table = table.apply(pd.to_numeric, errors="coerce")
    values: npt.NDArray[Any] = table.to_numpy()
    valid = (values >= 0) & (values <= 255) & (values == np.floor(values))
    if not valid.all():
        row, column = (int(index) for index in np.argwhere(~valid)[0])
        value = chunk.iloc[row][layout.pixels[column]]
        raise ValueError(
            f"{storage.shown(path)}, row {_row(layout, chunk, row)}: pixel {column + 1} is {storage.shown(value)};"
            " expected an integer from 0 to 255"
        )
    return values.astype(np.uint8)


def _labels(path: Path, layout: _Layout, chunk: "pd.DataFrame") -> list[str]:
    labels = chunk[layout.label]
    if labels.isna().any():
        row = int(np.flatnonzero(labels.isna())[0])
        raise ValueError(
            f"{storage.shown(path)}, row {_row(layout, chunk, row)}: the label is missing; expected a number or a name"
        )
    return [re.sub(r"\.0+$", "", label.strip()) if _is_number(label) else label.strip() for label in labels]


def _row(layout: _Layout, chunk: "pd.DataFrame", position: int) -> int:
    """Return the number of a row in the file, with the header as row 1."""
    return int(chunk.index[position]) + 1 + layout.has_header
