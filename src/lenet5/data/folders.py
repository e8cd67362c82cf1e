"""Images of one's own in a folder with one folder per class."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from .. import notebook, storage
from ..storage import StrPath
from .images import open_image
from .preprocess import Preprocess
from .splits import is_split
from .targets import natural_order

_NUM_THREADS = min(32, (os.cpu_count() or 1) + 4)  # some wait for the disk; PIL decodes without Python's lock
_BATCH = 64  # images that a thread reads at a time


def read_folder(path: StrPath, preprocess: Preprocess) -> tuple[Tensor, list[str]]:
    """Read the images and class names of a folder; see `ImageDataset.from_folder`.

    Returns
    -------
    images
        (N, channels, image_size, image_size) uint8, in natural order of classes and files.
    labels
        The class name of each image.
    """
    path = storage.as_path(path)
    if not path.is_dir():
        raise FileNotFoundError(
            f"{storage.shown(path)} is not a folder; expected a folder with one folder of images per class"
        )
    folders = subfolders(path)
    splits = [folder.name for folder in folders if is_split(folder.name)]
    if splits and len(splits) == len(folders):
        raise ValueError(
            f"{storage.shown(path)} holds the splits {', '.join(splits)}; expected one folder per class: pass"
            f" {storage.shown(folders[0])}, or the"
            " whole folder to load_data"
        )
    if not folders:
        raise ValueError(f"{storage.shown(path)} holds no folders; expected one folder of images per class")
    files, labels = [], []
    for folder in folders:
        found = _image_files(folder)
        if not found:
            raise ValueError(f"{storage.shown(folder)} holds no images; expected files such as .png or .jpg")
        files += found
        labels += [folder.name] * len(found)
    return _read_images(files, preprocess, storage.shown(path.name)), labels


def subfolders(path: Path) -> list[Path]:
    """Return the visible folders in a folder, in natural order."""
    folders = {folder.name: folder for folder in path.iterdir() if _is_visible(folder.name) and folder.is_dir()}
    return [folders[name] for name in natural_order(folders)]


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _image_files(folder: Path) -> list[Path]:
    """Return the image files in a folder and in the folders within it, in natural order."""
    import PIL.Image

    suffixes = {suffix for suffix, name in PIL.Image.registered_extensions().items() if name in PIL.Image.OPEN}
    files: dict[str, Path] = {}
    pending = [("", os.fspath(folder))]
    while pending:
        prefix, parent = pending.pop()
        with os.scandir(parent) as entries:
            for entry in filter(lambda entry: _is_visible(entry.name), entries):
                if entry.is_dir(follow_symlinks=False):  # a link may lead back to where it lies
                    pending.append((f"{prefix}{entry.name}/", entry.path))
                elif "." + entry.name.lower().rpartition(".")[2] in suffixes and entry.is_file():
                    files[prefix + entry.name] = Path(entry.path)
    return [files[name] for name in natural_order(files)]


def _read_images(files: list[Path], preprocess: Preprocess, description: str) -> Tensor:
    """Read files in several threads, with a progress bar on a terminal or in a notebook."""
    images = torch.empty(len(files), preprocess.channels, *[preprocess.image_size] * 2, dtype=torch.uint8)

    def read(start: int) -> int:
        stop = min(start + _BATCH, len(files))
        for index in range(start, stop):
            images[index] = _read_image(files[index], preprocess)
        return stop - start

    def counts() -> Iterator[int]:
        executor = ThreadPoolExecutor(_NUM_THREADS)
        try:
            yield from executor.map(read, range(0, len(files), _BATCH))
        finally:  # a damaged file, or Ctrl-C, does not wait for the rest
            executor.shutdown(cancel_futures=True)

    options = {"total": len(files), "desc": description, "unit": "image", "leave": False, "disable": None}
    with notebook.progress_bars()(**options) as bar:
        for count in counts():
            bar.update(count)
    return images


def _read_image(file: Path, preprocess: Preprocess) -> Tensor:
    image = open_image(file)
    try:
        return preprocess.resize(image)
    except ValueError as error:
        raise ValueError(f"{storage.shown(file)}: {error}") from error
