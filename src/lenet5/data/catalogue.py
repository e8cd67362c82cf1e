"""Catalogue of the datasets: classes, files, mirrors and hashes. Imports neither torch nor numpy."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..storage import as_path

_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def _file_names(train: str, test: str, targets: str = "labels-idx1-ubyte") -> tuple[str, ...]:
    return tuple(f"{part}-{kind}" for part in (train, test) for kind in ("images-idx3-ubyte", targets))


@dataclass(frozen=True)
class IdxFiles:
    """A dataset stored as four IDX files: training images, training targets, test images, test targets."""

    folder: str  # torchvision's name: the files are in ROOT/folder/raw
    classes: Sequence[str]
    mirrors: Sequence[str]  # HTTPS folders that serve NAME.gz, tried in order
    names: Sequence[str] = _file_names("train", "t10k")
    sha256: Sequence[str] = ()  # of the unpacked files; if empty, archives are checked against torchvision's md5
    archive: str | None = None  # zip file on the mirrors that contains gzip/NAME.gz for every name
    transposed: bool = False  # whether rows and columns are swapped in the files


# The hashes of MNIST and Fashion-MNIST were computed from archives that match torchvision's md5.
SOURCES = {
    "mnist": IdxFiles(
        "MNIST",
        _DIGITS,
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        sha256=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    "fashion_mnist": IdxFiles(
        "FashionMNIST",
        _CLOTHES,
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        sha256=(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    "kmnist": IdxFiles("KMNIST", _KANA, ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",)),
    "emnist": IdxFiles(
        "EMNIST",
        _DIGITS,
        ("https://biometrics.nist.gov/cs_links/EMNIST/",),
        names=_file_names("emnist-digits-train", "emnist-digits-test"),
        archive="gzip.zip",
        transposed=True,
    ),
    "qmnist": IdxFiles(
        "QMNIST",
        _DIGITS,
        ("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
        names=_file_names("qmnist-train", "qmnist-test", "labels-idx2-int"),
    ),
}

NAMES = ("digits", *SOURCES)
"""Names of all datasets. "digits" comes with scikit-learn and needs no files."""


def short_name(data: str) -> str:
    """Return the name of a dataset, or the name without suffixes of the folder or file of one's own data."""
    path = as_path(data).absolute()
    return data if data in NAMES else path.name.partition(".")[0] or path.name.strip(".") or "own"
