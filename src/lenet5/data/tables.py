"""Images of one's own in a .csv file with one image per row, as on Kaggle."""

import csv
import gzip
import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .. import notebook
from ..storage import StrPath
from .preprocess import Preprocess

if TYPE_CHECKING:
    import pandas as pd

_LABELS = ("label", "class", "target")
_IGNORED = ("", "id")
_ROWS = 4096  # read at a time, which bounds the memory
_LINE = 1 << 20  # bytes of the first line: more than any header has


@dataclass(frozen=True)
class _Layout:
    """Which column holds what."""

    separator: str
    has_header: bool
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
                return cls(separator, has_header, label, pixels, (side, side, *channels))
        if not cells:
            raise ValueError(f"{path} is empty; expected a label and pixels in each row")
        without_label = math.isqrt(len(cells)) ** 2 == len(cells)
        raise ValueError(
            f"{path} has {len(cells)} columns{', and none for labels' if without_label else ''}; expected a label and"
            " its pixels, whose number is a square (784 for 28x28) or three times a square"
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

    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; expected a .csv file")
    images, labels = [], []
    try:
        layout = _Layout.of(path, _first_line(path))
        chunks = pd.read_csv(
            path,
            sep=layout.separator,
            header=None,
            skiprows=int(layout.has_header),
            dtype={layout.label: str},
            na_values=[""],
            keep_default_na=False,
            chunksize=_ROWS,
            low_memory=False,
            encoding="utf-8-sig",
            compression="gzip" if path.suffix.lower() == ".gz" else None,
        )
        for chunk in notebook.progress_bars()(chunks, desc=path.name, unit=f"x{_ROWS} rows", leave=False, disable=None):
            pixels = _pixels(path, layout, chunk).reshape(-1, *layout.shape)
            images.append(preprocess.resize(pixels if pixels.ndim == 4 else pixels[:, None]))
            labels += _labels(path, layout, chunk)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise ValueError(f"{path} is not a readable table: {error}") from error
    except (OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not images:
        raise ValueError(f"{path} holds no rows; expected a label and pixels in each")
    return torch.cat(images), labels


def _first_line(path: Path) -> str:
    with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
        line = file.readline(_LINE)
    return line.decode("utf-8-sig").strip("\r\n")


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
            f"{path}, row {_row(layout, chunk, row)}: pixel {column + 1} is {value}; expected an integer from 0 to 255"
        )
    return values.astype(np.uint8)


def _labels(path: Path, layout: _Layout, chunk: "pd.DataFrame") -> list[str]:
    labels = chunk[layout.label]
    if labels.isna().any():
        row = int(np.flatnonzero(labels.isna())[0])
        raise ValueError(f"{path}, row {_row(layout, chunk, row)}: the label is missing; expected a number or a name")
    return [re.sub(r"\.0+$", "", label.strip()) if _is_number(label) else label.strip() for label in labels]


def _row(layout: _Layout, chunk: "pd.DataFrame", position: int) -> int:
    """Return the number of a row in the file, with the header as row 1."""
    return int(chunk.index[position]) + 1 + layout.has_header
