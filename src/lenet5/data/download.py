"""The files of MNIST and its kin: where they lie, where they come from, and what shows that they are whole."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import math
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from .. import storage

_MNIST_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_DIGITS = tuple("0123456789")
_IDX_TYPES = {8: 1, 9: 1, 11: 2, 12: 4, 13: 4, 14: 8}  # bytes of a value, by the third byte of an IDX file
_CHUNK = 1 << 18
_TIMEOUT_S = 30


@dataclass(frozen=True)
class IdxFiles:
    """A set of four IDX files: images and labels of the training part, then of the test part."""

    folder: str  # torchvision's: the files lie in ROOT/folder/raw
    classes: Sequence[str]
    mirrors: Sequence[str]  # HTTPS folders that hold NAME.gz, tried in turn
    names: Sequence[str] = _MNIST_NAMES
    sha256: Sequence[str] = ()  # of the files; where it is empty, torchvision's md5 of the archives is used
    archive: str | None = None  # a zip file on the mirrors that holds gzip/NAME.gz for every NAME
    transposed: bool = False

    def raw(self, root: Path) -> Path:
        """Return the folder of the files."""
        return root / self.folder / "raw"


# Hashes of MNIST and Fashion-MNIST: computed from files whose archives have the md5 that torchvision carries.
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
        (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
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
    "kmnist": IdxFiles(
        "KMNIST",
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    ),
    "emnist": IdxFiles(
        "EMNIST",
        _DIGITS,
        ("https://biometrics.nist.gov/cs_links/EMNIST/",),
        names=tuple(
            f"emnist-digits-{part}-{kind}-ubyte"
            for part in ("train", "test")
            for kind in ("images-idx3", "labels-idx1")
        ),
        archive="gzip.zip",
        transposed=True,
    ),
    "qmnist": IdxFiles(
        "QMNIST",
        _DIGITS,
        ("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
        names=tuple(
            f"qmnist-{part}-{kind}" for part in ("train", "test") for kind in ("images-idx3-ubyte", "labels-idx2-int")
        ),
    ),
}


def ensure(source: IdxFiles, root: Path, *, download: bool) -> list[Path]:
    """Return the paths of a set's four files, fetching those that are missing.

    Raises
    ------
    FileNotFoundError
        A file is missing and was not or could not be fetched.
    ValueError
        A file is there and has another hash, or every mirror serves one that has.
    """
    raw = source.raw(root)
    paths = [raw / name for name in source.names]
    for path in paths:
        if not path.is_file():
            _obtain(source, path, paths, download)
    for path, expected in zip(paths, source.sha256, strict=False):
        with path.open("rb") as file:
            _check_hash(file, "sha256", expected, f"{path} (delete it, and it is downloaded again)")
    return paths


def read_idx(path: Path) -> Tensor:
    """Read an IDX file with torchvision's reader, once its header is seen to agree with its length.

    Raises
    ------
    ValueError
        It is no IDX file, or its length is not what its header says.
    """
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    with path.open("rb") as file:
        magic = file.read(4)
        axes = magic[3] if len(magic) == 4 else 0
        shape = [int.from_bytes(file.read(4), "big") for _ in range(axes)]
    if magic[:2] != b"\0\0" or not 1 <= axes <= 3 or magic[2] not in _IDX_TYPES:
        raise ValueError(f"{path} begins with 0x{magic.hex()}; expected an IDX file's 0x0000, type and 1 to 3 axes")
    expected, found = 4 + 4 * axes + _IDX_TYPES[magic[2]] * math.prod(shape), path.stat().st_size
    if found != expected:
        raise ValueError(f"{path} has {found} bytes; expected {expected}, as its header says")
    if not all(shape):
        raise ValueError(f"{path} holds nothing: its shape is {tuple(shape)}; expected at least one value")
    tensor: Tensor = read_sn3_pascalvincent_tensor(str(path))
    return tensor if tensor.dtype == torch.uint8 else tensor.long()


def _obtain(source: IdxFiles, path: Path, paths: Sequence[Path], download: bool) -> None:
    """Make a missing file from an archive beside it, or else from the first mirror that serves a whole one."""
    missing = [other.name for other in paths if not other.is_file()]
    advice = (
        f"put {', '.join(missing)}, or the same as .gz, into {path.parent}, or use the embedded set, which needs no"
        ' file: load_data("digits"), on the command line --data digits'
    )
    archive = path.with_name(path.name + ".gz")
    if archive.is_file():
        try:
            with archive.open("rb") as file:
                storage.write_file(path, _unpacked(source, path, file))
        except ValueError as error:
            raise ValueError(f"{error}; it lies in {path.parent}: delete it, and it is downloaded") from error
        return
    if not download:
        raise FileNotFoundError(f"{path} does not exist, and downloads are off; {advice}")
    path.parent.mkdir(parents=True, exist_ok=True)
    failures: list[Exception] = []
    for mirror in source.mirrors:
        url = mirror + (source.archive or archive.name)
        try:
            with tempfile.TemporaryFile(dir=path.parent) as file:
                _fetch(url, file)
                if source.archive:
                    _unpack_archive(source, file, paths)
                else:
                    storage.write_file(path, _unpacked(source, path, file))
        except (OSError, ValueError, http.client.HTTPException) as error:
            error.add_note(url)
            failures.append(error)
        else:
            return
    reasons = "; ".join(f"{error.__notes__[0]}: {error}" for error in failures)
    damaged = any(isinstance(error, ValueError) for error in failures)
    raise (ValueError if damaged else FileNotFoundError)(f"{path.name} could not be downloaded ({reasons}); {advice}")


def _fetch(url: str, file: IO[bytes]) -> None:
    """Download into an open file; a bar on stderr shows how far it is, if a person can see it."""
    from tqdm import tqdm

    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 (the mirrors are HTTPS)
        length = int(response.headers.get("Content-Length") or 0)
        name = url.rpartition("/")[2]
        with tqdm(total=length or None, desc=name, unit="B", unit_scale=True, leave=False, disable=None) as bar:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if length and file.tell() != length:
        raise ValueError(f"the download has {file.tell()} bytes; expected {length}")
    file.seek(0)


def _unpacked(source: IdxFiles, path: Path, file: IO[bytes]) -> bytes:
    """Return what a gzip file holds, checked by the hash that is known: of the contents, or of the archive."""
    archive = path.name + ".gz"
    if not source.sha256 and not source.archive:
        _check_hash(file, "md5", _torchvision_md5(source, archive), archive)
    try:
        data = gzip.GzipFile(fileobj=file).read()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{archive} is no whole gzip file: {error}") from error
    if source.sha256:
        expected, found = source.sha256[source.names.index(path.name)], hashlib.sha256(data).hexdigest()
        if found != expected:
            raise ValueError(f"{archive} unpacks to sha256 {found}; expected {expected}")
    return data


def _unpack_archive(source: IdxFiles, file: IO[bytes], paths: Sequence[Path]) -> None:
    """Write all files of a set from the one archive that holds them."""
    assert source.archive is not None
    _check_hash(file, "md5", _torchvision_md5(source, source.archive), source.archive)
    with zipfile.ZipFile(file) as archive:
        for path in paths:
            with archive.open(f"gzip/{path.name}.gz") as member:
                storage.write_file(path, gzip.GzipFile(fileobj=member).read())


def _torchvision_md5(source: IdxFiles, archive: str) -> str:
    import torchvision.datasets

    reader = getattr(torchvision.datasets, source.folder)
    if source.archive:
        return str(reader.md5)
    resources = reader.resources
    pairs = [pair for part in resources.values() for pair in part] if isinstance(resources, dict) else resources
    return str({url.rpartition("/")[2]: md5 for url, md5 in pairs}[archive])


def _check_hash(file: IO[bytes], algorithm: str, expected: str, name: str) -> None:
    found = hashlib.file_digest(file, algorithm).hexdigest()  # type: ignore[arg-type]  # a temporary file is one too
    file.seek(0)
    if found != expected:
        raise ValueError(f"{name} has {algorithm} {found}; expected {expected}")
