"""Splits of one's own data: a folder, .csv or .npz files."""

from collections.abc import Callable
from pathlib import Path

from .. import storage
from .arrays import splits_of
from .datasets import ImageDataset
from .folders import subfolders
from .splits import is_split, split_in

_TABLES = (".csv", ".csv.gz")


def read_own(path: Path) -> dict[str, ImageDataset]:
    """Read the splits that a path holds; see `load_data`.

    Returns
    -------
    dict
        The dataset of "train" and, where there is one, of "val" and "test". All have the classes of "train".

    Raises
    ------
    ValueError
        The path holds no data of a known form, or the splits have different classes.
    """
    readers = _readers(path)
    if "train" not in readers:
        raise ValueError(
            f"{storage.shown(path)} holds {' and '.join(readers)}, without training images; expected a training set"
        )
    train = readers.pop("train")(None, None)
    return {"train": train, **{split: read(train.classes, train.transform) for split, read in readers.items()}}


_Reader = Callable[[tuple[str, ...] | None, object], ImageDataset]


def _readers(path: Path) -> dict[str, _Reader]:
    """Return what reads each split, by its name."""
    name = path.name.lower()
    if path.is_dir():
        return _readers_of_folder(path)
    if name.endswith(_TABLES):
        return {"train": _table(path)}
    if name.endswith(".npz"):
        return {split: _arrays(path, split) for split in splits_of(path)} or {"train": _arrays(path, "train")}
    raise ValueError(
        f"{storage.shown(path)} is no data of a known form; expected a folder, or a .csv, .csv.gz or .npz file"
    )


def _readers_of_folder(path: Path) -> dict[str, _Reader]:
    folders = subfolders(path)
    splits = [folder for folder in folders if is_split(folder.name)]
    if splits and len(splits) < len(folders):
        others = [storage.shown(folder.name) for folder in folders if folder not in splits]
        raise ValueError(
            f"{storage.shown(path)} holds the folders {', '.join(folder.name for folder in splits)}, which name splits,"
            f" beside {', '.join(others[:3])}; expected either splits or classes (ImageDataset.from_folder reads these)"
        )
    if splits:
        return _by_split(path, {folder: _folder(folder) for folder in splits})
    files = sorted(file for file in path.iterdir() if file.name.lower().endswith((*_TABLES, ".npz")) and file.is_file())
    if folders or not files:
        return {"train": _folder(path)}
    if len(files) == 1:
        return _readers(files[0])
    return _by_split(path, {file: _table(file) for file in files if file.name.lower().endswith(_TABLES)})


def _by_split(path: Path, readers: dict[Path, _Reader]) -> dict[str, _Reader]:
    """Name readers after the splits that their files mention."""
    named: dict[str, _Reader] = {}
    for file, reader in readers.items():
        split = split_in(file.name)
        if split is None or split in named:
            names = storage.shown(", ".join(other.name for other in readers))
            raise ValueError(
                f"{storage.shown(path)} holds {names}; expected one file or folder each for train, val and test"
            )
        named[split] = reader
    if not named:
        raise ValueError(
            f"{storage.shown(path)} holds several files; expected one, or .csv files such as train.csv and test.csv"
        )
    return named


def _folder(path: Path) -> _Reader:
    return lambda classes, transform: ImageDataset.from_folder(path, classes=classes, transform=transform)


def _table(path: Path) -> _Reader:
    return lambda classes, transform: ImageDataset.from_csv(path, classes=classes, transform=transform)


def _arrays(path: Path, split: str) -> _Reader:
    return lambda classes, transform: ImageDataset.from_npz(path, split=split, classes=classes, transform=transform)
