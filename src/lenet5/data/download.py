"""Download, verify and read the IDX files of MNIST-style datasets."""

import gzip
import hashlib
import http.client
import math
import shutil
import tempfile
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from .. import notebook, storage
from .catalogue import IdxFiles

_TIMEOUT = 30  # seconds
_DELETE = "delete it to download it again"


def ensure_files(source: IdxFiles, root: Path, *, download: bool) -> list[Path]:
    """Download the missing files of a dataset, and verify all files whose hash is in the catalogue.

    If the folder contains NAME.gz, it is unpacked instead of downloaded.

    Parameters
    ----------
    source
        The dataset.
    root
        Folder that contains `source.folder`.
    download
        Whether to download missing files.

    Returns
    -------
    list of Path
        Training images, training targets, test images, test targets.

    Raises
    ------
    FileNotFoundError
        A file is missing, and `download` is False or every mirror failed.
    ValueError
        A file has the wrong hash, on disk or on a mirror.
    """
    paths = [root / source.folder / "raw" / name for name in source.names]
    for path in paths:
        if not path.is_file():
            _obtain(source, path, download)
    for path, expected in zip(paths, source.sha256, strict=False):
        storage.check_hash(path.read_bytes(), expected, f"{path} ({_DELETE})")
    return paths


def read_idx(path: Path) -> Tensor:
    """Read an IDX file after checking its length against its header.

    Parameters
    ----------
    path
        The file, unpacked.

    Returns
    -------
    Tensor
        1 to 3 dimensions. uint8 values stay uint8; all other types become int64.

    Raises
    ------
    ValueError
        The file is not an IDX file, is empty, or has the wrong length.
    """
    from torchvision.datasets.mnist import SN3_PASCALVINCENT_TYPEMAP, read_sn3_pascalvincent_tensor

    with path.open("rb") as file:
        magic = file.read(4)
        ndim = magic[3] if len(magic) == 4 else 0
        shape = tuple(int.from_bytes(file.read(4), "big") for _ in range(ndim))
    if magic[:2] != b"\0\0" or not 1 <= ndim <= 3 or magic[2] not in SN3_PASCALVINCENT_TYPEMAP:
        raise ValueError(f"{path} starts with 0x{magic.hex()}; expected an IDX file of 1 to 3 dimensions ({_DELETE})")
    size, expected = path.stat().st_size, 4 + 4 * ndim + SN3_PASCALVINCENT_TYPEMAP[magic[2]].itemsize * math.prod(shape)
    if size != expected or not all(shape):
        raise ValueError(f"{path} has {size} bytes and shape {shape}; expected {expected} bytes, not empty ({_DELETE})")
    tensor: Tensor = read_sn3_pascalvincent_tensor(str(path))
    return tensor if tensor.dtype == torch.uint8 else tensor.long()


def _obtain(source: IdxFiles, path: Path, download: bool) -> None:
    """Unpack a missing file from the archive beside it, or download it."""
    archive = path.with_name(f"{path.name}.gz")
    if archive.is_file():
        with archive.open("rb") as file:
            storage.write_file(path, _unpack(source, path.name, file, f"{archive} ({_DELETE})"))
        return
    missing = ", ".join(name for name in source.names if not path.with_name(name).is_file())
    advice = f'put {missing} or .gz archives of them into {path.parent}, or use the embedded "digits" (--data digits)'
    if not download:
        raise FileNotFoundError(f"{path} does not exist, and downloads are off; {advice}")
    path.parent.mkdir(parents=True, exist_ok=True)
    errors: dict[str, Exception] = {}
    for mirror in source.mirrors:
        url = mirror + (source.archive or archive.name)
        try:
            _download(source, url, path)
        except (OSError, ValueError, http.client.HTTPException) as error:
            errors[url] = error
        else:
            return
    reasons = "; ".join(f"{url}: {error}" for url, error in errors.items())
    corrupt = any(isinstance(error, ValueError) for error in errors.values())
    raise (ValueError if corrupt else FileNotFoundError)(f"{path.name} could not be downloaded ({reasons}); {advice}")


def _download(source: IdxFiles, url: str, path: Path) -> None:
    """Download and unpack one file, or all files if they are in one archive."""
    with tempfile.TemporaryFile(dir=path.parent) as file:
        _fetch(url, file)
        if not source.archive:
            storage.write_file(path, _unpack(source, path.name, file, f"{path.name}.gz"))
            return
        _check_md5(source, source.archive, file, source.archive)
        with zipfile.ZipFile(file) as archive:
            for name in source.names:
                with archive.open(f"gzip/{name}.gz") as member:
                    storage.write_file(path.with_name(name), _unpack(source, name, member, member.name))


def _fetch(url: str, file: IO[bytes]) -> None:
    """Download into an open file, with a progress bar on a terminal or in a notebook."""
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:  # noqa: S310 (the mirrors are HTTPS)
        length = int(response.headers.get("Content-Length") or 0)
        options = {"total": length or None, "desc": url.rpartition("/")[2], "leave": False, "disable": None}
        with notebook.progress_bars().wrapattr(response, "read", **options) as body:
            shutil.copyfileobj(body, file)
    if length and file.tell() != length:
        raise ValueError(f"the download has {file.tell()} bytes; expected {length}")
    file.seek(0)


def _unpack(source: IdxFiles, name: str, file: IO[bytes], description: str) -> bytes:
    """Unpack NAME.gz, and check the hash of its content.

    If that hash is unknown, check torchvision's md5 of NAME.gz instead. A member of a zip file has neither.
    """
    if not source.sha256 and not source.archive:
        _check_md5(source, f"{name}.gz", file, description)
    try:
        data = gzip.GzipFile(fileobj=file).read()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{description} is not a complete gzip file: {error}") from error
    if source.sha256:
        storage.check_hash(data, source.sha256[source.names.index(name)], f"the content of {description}")
    return data


def _check_md5(source: IdxFiles, archive: str, file: IO[bytes], description: str) -> None:
    """Check an archive against torchvision's md5."""
    import torchvision.datasets

    dataset = getattr(torchvision.datasets, source.folder)
    if source.archive:
        expected = dataset.md5
    else:
        parts = dataset.resources.values() if isinstance(dataset.resources, dict) else [dataset.resources]
        expected = {url.rpartition("/")[2]: md5 for part in parts for url, md5 in part}[archive]
    md5 = hashlib.file_digest(file, "md5").hexdigest()  # type: ignore[arg-type]  # typeshed's IO lacks readinto
    file.seek(0)
    if md5 != expected:
        raise ValueError(f"{description} has md5 {md5}; expected {expected}")
