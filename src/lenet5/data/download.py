"""Find, download and verify the files of MNIST-style datasets."""

import hashlib
import http.client
import shutil
import socket
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import IO

from torch import Tensor

from .. import notebook, storage
from .catalogue import SOURCES, IdxFiles
from .idx import DELETE, find_idx, parse_idx, read_content, unpack

_TIMEOUT = 30  # seconds


def load_files(source: IdxFiles, root: Path, *, download: bool) -> list[Tensor]:
    """Read the files of a dataset as they lie, after downloading the missing ones, and verify those of known hash.

    Parameters
    ----------
    source
        The dataset.
    root
        Folder that contains `source.folder`, or the files themselves.
    download
        Whether to download missing files, to `source.folder/raw`. Nothing else is written.

    Returns
    -------
    list of Tensor
        Training images, training targets, test images, test targets; see `read_idx`.

    Raises
    ------
    FileNotFoundError
        A file is missing, and `download` is False or every mirror failed.
    NotADirectoryError
        `root` is no folder.
    ValueError
        A file has the wrong hash, on disk or on a mirror, or is not an IDX file.
    """
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(f"root is {storage.shown(root)}, which is no folder; expected a folder, or a new path")
    return [_load(source, root, name, download=download) for name in source.names]


def _load(source: IdxFiles, root: Path, name: str, *, download: bool) -> Tensor:
    path = _find(source, root, name)
    if path is None:
        path = _folder(source, root) / name
        _obtain(source, root, path, download)
    description = f"{storage.shown(path)} ({DELETE})"
    if path.suffix == ".gz" and not source.sha256 and not source.archive:
        with storage.open_file(path) as file:
            _check_md5(source, f"{name}.gz", file, description)
    data = read_content(path)
    if source.sha256:
        storage.check_hash(data, source.sha256[source.names.index(name)], description)
    return parse_idx(data, description)


def _folder(source: IdxFiles, root: Path) -> Path:
    return root / source.folder / "raw"


def _find(source: IdxFiles, root: Path, name: str) -> Path | None:
    """Find a file in the folder of its dataset, or in `root` itself if it belongs to no other dataset."""
    for folder in (_folder(source, root), root / source.folder):
        if path := find_idx(folder, name):
            return path
    path = find_idx(root, name)
    return path if path is not None and _belongs(source, root, name, path) else None


def _belongs(source: IdxFiles, root: Path, name: str, path: Path) -> bool:
    """Return True unless a file, whose name several datasets use, may be of a different dataset."""
    if source.folder in root.resolve().parts[-2:] or sum(name in other.names for other in SOURCES.values()) == 1:
        return True
    if not source.sha256:
        return False
    digest = hashlib.sha256(read_content(path)).hexdigest()
    return digest == source.sha256[source.names.index(name)]


def _obtain(source: IdxFiles, root: Path, path: Path, download: bool) -> None:
    """Download a missing file."""
    missing = ", ".join(name for name in source.names if _find(source, root, name) is None)
    folder = storage.shown(path.parent)
    advice = f'put {missing} or .gz archives of them into {folder}, or use the embedded "digits" (--data digits)'
    if not download:
        raise FileNotFoundError(f"{storage.shown(path)} does not exist, and downloads are off; {advice}")
    errors: dict[str, Exception] = {}
    for mirror in source.mirrors:
        url = mirror + (source.archive or f"{path.name}.gz")
        try:
            _download(source, url, path)
        except (OSError, ValueError, http.client.HTTPException) as error:
            errors[url] = error
        else:
            return
    reasons = "; ".join(f"{url}: {_reason(error)}" for url, error in errors.items())
    corrupt = any(isinstance(error, ValueError) for error in errors.values())
    raise (ValueError if corrupt else FileNotFoundError)(f"{path.name} could not be downloaded ({reasons}); {advice}")


def _reason(error: Exception) -> str:
    """Return why a download failed, as a clause."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} ({error.reason})"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.gaierror):
        return "the server was not found; is there a network?"
    if isinstance(cause, TimeoutError):
        return f"no answer within {_TIMEOUT} seconds"
    if isinstance(cause, OSError) and cause.strerror:
        return storage.shown(f"{cause.strerror} {cause.filename or ''}".strip())
    return storage.shown(cause)


def _download(source: IdxFiles, url: str, path: Path) -> None:
    """Download and unpack one file, or all files if they are in one archive."""
    existing = next(folder for folder in path.absolute().parents if folder.is_dir())
    with tempfile.TemporaryFile(dir=existing) as file:
        _fetch(url, file)
        if not source.archive:
            _write(path, _unpack(source, path.name, file, f"{path.name}.gz"))
            return
        _check_md5(source, source.archive, file, source.archive)
        with zipfile.ZipFile(file) as archive:
            for name in source.names:
                with archive.open(f"gzip/{name}.gz") as member:
                    _write(path.with_name(name), _unpack(source, name, member, member.name))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.write_file(path, data)


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
    data = unpack(file, description)
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
