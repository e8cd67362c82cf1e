"""Images of one's own in a .csv file with one image per row, as on Kaggle."""

import contextlib
import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .. import notebook, storage
from ..storage import StrPath
from .columns import Columns
from .preprocess import Preprocess

if TYPE_CHECKING:
    import pandas as pd

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)
_ROWS = 4096  # read at a time, which bounds the memory
_LINE = 1 << 20  # bytes of the first line: more than any header has
_CELL = 32  # bytes of a cell: more than a pixel takes


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
    images, labels, last = [], [], set[int]()
    with contextlib.ExitStack() as stack, _one_error(path):
        with _open(path) as file:
            line = file.readline(_LINE)
        columns = Columns.of(path, line.decode("utf-8-sig").strip("\r\n"))
        longest = max(len(line), _CELL * (len(columns.pixels) + 100))
        file = stack.enter_context(_open(path))
        chunks = pd.read_csv(
            io.BufferedReader(_Rows(file, longest, shown)),
            sep=columns.separator,
            header=None,
            skiprows=int(columns.has_header),
            dtype={columns.label: str},
            na_values=[""],
            keep_default_na=False,
            chunksize=_ROWS,
            low_memory=False,
            encoding="utf-8-sig",
        )
        options = {"desc": storage.shown(path.name), "unit": f"x{_ROWS} rows", "leave": False, "disable": None}
        for chunk in notebook.progress_bars()(chunks, **options):
            if chunk.shape[1] != columns.count:
                raise ValueError(
                    f"{shown}, row {_row(columns, chunk, 0)}: {chunk.shape[1]} columns; expected {columns.count}, as in"
                    " the first row"
                )
            pixels = _pixels(path, columns, chunk)
            last.update(pixels[:, -1].tolist())
            pixels = pixels.reshape(-1, *columns.shape)
            images.append(preprocess.resize(pixels if pixels.ndim == 4 else pixels[:, None]))
            labels += _labels(path, columns, chunk)
    if not images:
        raise ValueError(f"{shown} holds no rows; expected a label and pixels in each")
    labels = _integers(labels)
    columns.check(path, set(labels), last)
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


def _pixels(path: Path, columns: Columns, chunk: "pd.DataFrame") -> npt.NDArray[np.uint8]:
    """Return (rows, columns) uint8 after checking every value."""
    import pandas as pd

    table = chunk[columns.pixels]
    if any(dtype.kind not in "iuf" for dtype in table.dtypes.tolist()):
        table = table.apply(pd.to_numeric, errors="coerce")
    values: npt.NDArray[Any] = table.to_numpy()
    valid = (values >= 0) & (values <= 255) & (values == np.floor(values))
    if not valid.all():
        row, column = (int(index) for index in np.argwhere(~valid)[0])
        value = chunk.iloc[row][columns.pixels[column]]
        raise ValueError(
            f"{storage.shown(path)}, row {_row(columns, chunk, row)}: pixel {column + 1} is {storage.shown(value)};"
            " expected an integer from 0 to 255"
        )
    return values.astype(np.uint8)


def _labels(path: Path, columns: Columns, chunk: "pd.DataFrame") -> list[str]:
    labels = chunk[columns.label]
    if labels.isna().any():
        row = int(np.flatnonzero(labels.isna())[0])
        raise ValueError(
            f"{storage.shown(path)}, row {_row(columns, chunk, row)}: the label is missing; expected a number or a name"
        )
    return [label.strip() for label in labels]


def _integers(labels: list[str]) -> list[str]:
    """Write labels as integers if all are numbers: "7" for "7.0" and "7.000e+00". Names such as "1e3" stay."""
    numbers = {label: float(label) if _NUMBER.fullmatch(label) else math.nan for label in set(labels)}
    if not all(number.is_integer() for number in numbers.values()):
        return labels
    names = {label: label if label.isdecimal() else str(int(number)) for label, number in numbers.items()}
    return [names[label] for label in labels]


def _row(columns: Columns, chunk: "pd.DataFrame", position: int) -> int:
    """Return the number of a row in the file, with the header as row 1."""
    return int(chunk.index[position]) + 1 + columns.has_header
