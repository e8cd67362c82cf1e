"""`load_data`: training, validation and test sets, by name or from files of one's own."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .. import notebook
from ..arguments import as_integer, suggestion
from ..storage import StrPath, as_path
from .catalogue import NAMES, SOURCES, IdxFiles
from .datasets import ImageDataset
from .download import load_files
from .own import read_own
from .preprocess import Preprocess
from .splits import stratified_holdout

_DIGITS_TEST_SIZE = 360  # one fifth of 1,797


class DataSplits(NamedTuple):
    """Training, validation and test sets, as returned by `load_data`.

    Examples
    --------
    >>> train, val, test = lenet5.load_data("digits")
    >>> len(train), len(val), len(test)
    (1294, 143, 360)
    """

    train: ImageDataset
    val: ImageDataset
    test: ImageDataset

    def _repr_html_(self) -> str:
        import pandas as pd

        columns = ["images", "shape", "classes"]
        rows = [(len(split), tuple(split.images.shape[1:]), len(split.classes)) for split in self]
        return notebook.table_html("DataSplits", pd.DataFrame(rows, list(self._fields), columns))

    @property
    def preprocess(self) -> Preprocess:
        """Preprocessing that normalises by the mean and standard deviation of the training set."""
        return self.train.preprocess


def load_data(
    name: StrPath = "mnist", root: StrPath | None = None, *, download: bool = True, val_size: int = 5000
) -> DataSplits:
    """Load a dataset by name or from your own files, and split a validation set from its training images.

    The split is that of `stratified_holdout`.

    The transform of each split normalises by the mean and standard deviation of the training set.

    Parameters
    ----------
    name
        One of:

        - "mnist", "fashion_mnist", "kmnist";
        - "qmnist", with its full test set of 60,000 images;
        - "emnist", the digits only, turned upright;
        - "digits", scikit-learn's 1,797 images of 8x8 pixels, enlarged to 20x20 and centred in 28x28 as in MNIST,
          with 360 images held out for testing;
        - the path of your own data: a folder with one folder of images per class, a .csv or .csv.gz file, or a .npz
          file; see `ImageDataset.from_folder`, `from_csv` and `from_npz`. Images become (1, 28, 28). A folder may also
          hold the splits: folders `train`, `val` and `test`, or files such as `mnist_train.csv` and `mnist_test.csv`.
          If there is no test set, a fifth of the training images is held out. The names above come first; write
          "./mnist" for a folder of that name.
    root
        Data folder, with the files of MNIST in `MNIST/raw`, as in torchvision, in `MNIST` or in the folder itself. They
        may be packed as .gz, and have the names of other mirrors, such as `train-images.idx3-ubyte`. None for a folder
        `lenet5` in torch's cache, which is `~/.cache/torch` unless TORCH_HOME is set. "digits" needs no folder. Ignored
        for your own data.
    download
        Whether to download missing files.
    val_size
        Number of validation images. For "digits" and your own data, at most a tenth of the training images. Ignored if
        your own data has a validation set.

    Returns
    -------
    DataSplits
        `(train, val, test)`, with images (N, 1, 28, 28) uint8 and targets (N,) int64.

    Raises
    ------
    ValueError
        `name` is unknown, `val_size` is out of range, or a file is corrupt.
    FileNotFoundError
        A file of your own is missing. Or a file of a named dataset is missing, and `download` is False or every mirror
        failed.

    Examples
    --------
    >>> digits = lenet5.load_data("digits")
    >>> digits.train
    <ImageDataset: 1294 images (1, 28, 28), 10 classes>
    >>> lenet5.load_data("shapes").train.classes  # a folder of your own
    ('circle', 'square')
    """
    val_size = _as_size(val_size)
    if not isinstance(name, str) or name not in NAMES:
        parts = read_own(_own_path(name))
        train, val, test = (parts.get(part) for part in ("train", "val", "test"))
        assert train is not None
        if len(train) < 3:
            raise ValueError(
                f"{name} has {len(train)} training images; expected at least 3, to hold out a test and a validation set"
            )
        if test is None:
            train, test = _hold_out(train, max(1, len(train) // 5))
    elif name == "digits":
        train, test = _load_digits()
        val = None
    else:
        folder = Path(torch.hub.get_dir()).parent / "lenet5" if root is None else as_path(root)
        source = SOURCES[name]
        tensors = load_files(source, folder, download=download)
        train, test = (_dataset(source, *tensors[start : start + 2]) for start in (0, 2))
        return _normalised(DataSplits(*_hold_out(train, val_size), test))
    if val is None:
        train, val = _hold_out(train, min(val_size, max(1, len(train) // 10)))
    return _normalised(DataSplits(train, val, test))


def _normalised(splits: DataSplits) -> DataSplits:
    """Set the transform of each split to the normalisation by the training images."""
    preprocess = splits.preprocess
    for split in splits:
        split.transform = preprocess
    return splits


def _as_size(size: object) -> int:
    number = as_integer(size)
    if number is None:
        raise ValueError(f"val_size is {size!r}; expected an integer")
    return number


def _own_path(name: StrPath) -> Path:
    """Return the path that a name means, if there is one."""
    path = as_path(name)
    if path.exists():
        return path
    if not isinstance(name, str) or path.suffix or len(path.parts) > 1 or path.is_absolute():
        raise FileNotFoundError(
            f"{path} does not exist; expected a folder, a .csv or .npz file, or the name of a dataset"
        )
    raise ValueError(
        f"name is {name!r}{suggestion(name, NAMES)}; expected one of: {', '.join(NAMES)}, or the path of a folder, a"
        " .csv or a .npz file"
    )


def _hold_out(dataset: ImageDataset, size: int) -> tuple[ImageDataset, ImageDataset]:
    """Split a dataset into the remaining examples and `size` held-out ones."""
    held_out = stratified_holdout(dataset.targets.numpy(), size)
    return dataset.select(np.setdiff1d(np.arange(len(dataset)), held_out)), dataset.select(held_out)


def _load_digits() -> tuple[ImageDataset, ImageDataset]:
    """Load the training and test sets of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    pixels, targets = load_digits(return_X_y=True)
    small = torch.from_numpy(pixels.astype(np.float32)).view(-1, 1, 8, 8) * (255 / 16)  # the pixels range from 0 to 16
    large = functional.interpolate(small, (20, 20), mode="bilinear", align_corners=False).round().to(torch.uint8)
    images = functional.pad(large, (4, 4, 4, 4))
    return _hold_out(ImageDataset(images, targets, classes=[str(digit) for digit in range(10)]), _DIGITS_TEST_SIZE)


def _dataset(source: IdxFiles, images: Tensor, targets: Tensor) -> ImageDataset:
    if source.transposed:
        images = images.mT.contiguous()
    if targets.ndim == 2:
        targets = targets[:, 0]  # the other columns of QMNIST describe the writer
    return ImageDataset(images[:, None], targets, classes=source.classes)
