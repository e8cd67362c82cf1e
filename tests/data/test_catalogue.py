from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torchvision.datasets

from lenet5 import load_data
from lenet5.data.catalogue import NAMES, SOURCES, short_name

if TYPE_CHECKING:
    from tests.data.conftest import TinyDataset, Web


def archive(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def folder_contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_importing_the_catalogue_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, lenet5.data.catalogue; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "lenet5.data.catalogue" in modules
    assert not {"torch", "numpy"} & set(modules)


def test_names_list_digits_first_and_then_all_sources() -> None:
    assert NAMES == ("digits", "mnist", "fashion_mnist", "kmnist", "emnist", "qmnist")
    assert tuple(SOURCES) == NAMES[1:]


@pytest.mark.parametrize("name", SOURCES)
def test_sources_have_secure_mirrors_and_known_hashes(name: str) -> None:
    source = SOURCES[name]
    assert len(source.names) == len(set(source.names)) == 4
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in source.mirrors)
    assert len(source.sha256) == 4 or hasattr(torchvision.datasets, source.folder)
    assert len(source.classes) == 10


def test_kmnist_archives_are_checked_against_the_md5_of_torchvision(
    tmp_path: Path, web: Web, tiny: TinyDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SOURCES["kmnist"]
    contents = tiny.contents(source.names)
    resources = [(f"http://elsewhere.example/{name}.gz", md5(archive(data))) for name, data in contents.items()]
    monkeypatch.setattr(torchvision.datasets.KMNIST, "resources", resources)
    web.serve_archives(source.mirrors[0], contents)
    assert tiny.load("kmnist", tmp_path) == tiny.splits

    name = source.names[2]
    (tmp_path / "KMNIST" / "raw" / name).unlink()
    web.serve_archives(source.mirrors[0], {name: b"wrong content"})
    hashes = f"has md5 {md5(archive(b'wrong content'))}; expected {md5(archive(contents[name]))}"
    with pytest.raises(ValueError, match=rf"{name}\.gz {hashes}"):
        load_data("kmnist", tmp_path)


@pytest.mark.parametrize(
    ("dataset", "name", "expected"),
    [
        ("kmnist", "train-images-idx3-ubyte", "bdb82020997e1d708af4cf47b453dcf7"),
        ("qmnist", "qmnist-train-images-idx3-ubyte", "ed72d4157d28c017586c42bc6afe6370"),
    ],
)
def test_local_archive_is_checked_against_the_md5_of_torchvision(
    tmp_path: Path, tiny: TinyDataset, dataset: str, name: str, expected: str
) -> None:
    data = archive(b"wrong content")
    path = tiny.write(SOURCES[dataset], tmp_path, {f"{name}.gz": data}) / f"{name}.gz"
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is checked below)
        load_data(dataset, tmp_path)
    assert str(raised.value) == f"{path} (delete it to download it again) has md5 {md5(data)}; expected {expected}"


def test_qmnist_targets_are_the_first_column_of_the_labels(
    tmp_path: Path, web: Web, tiny: TinyDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SOURCES["qmnist"]
    labels = np.stack([tiny.targets.astype(np.int32), np.arange(8, dtype=np.int32) * 70_000], axis=1)
    contents = tiny.contents(source.names, targets=labels)
    resources = [(f"{source.mirrors[0]}{name}.gz", md5(archive(data))) for name, data in contents.items()]
    monkeypatch.setattr(torchvision.datasets.QMNIST, "resources", {"train": resources[:2], "test": resources[2:]})
    web.serve_archives(source.mirrors[0], contents)
    assert tiny.load("qmnist", tmp_path) == tiny.splits


@pytest.fixture
def emnist_archive(tiny: TinyDataset, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return a zip file with the structure of EMNIST's, with transposed images."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name, data in tiny.contents(SOURCES["emnist"].names, tiny.images.swapaxes(1, 2)).items():
            zipped.writestr(f"gzip/{name}.gz", archive(data))
        zipped.writestr("gzip/emnist-letters-train-images-idx3-ubyte.gz", b"unused")
    monkeypatch.setattr(torchvision.datasets.EMNIST, "md5", md5(file.getvalue()))
    return file.getvalue()


def test_emnist_is_read_from_one_archive_and_turned_upright(
    tmp_path: Path, web: Web, tiny: TinyDataset, emnist_archive: bytes
) -> None:
    source = SOURCES["emnist"]
    url = f"{source.mirrors[0]}gzip.zip"
    web.serve(url, emnist_archive)
    splits = load_data("emnist", tmp_path, val_size=2)
    assert splits.test.images[:, 0].tolist() == tiny.images[:4].tolist()
    assert tiny.load("emnist", tmp_path) == tiny.splits
    assert web.requests == [url]
    assert folder_contents(tmp_path / "EMNIST" / "raw") == sorted(source.names)


def test_emnist_archive_with_wrong_hash_is_rejected(tmp_path: Path, web: Web, emnist_archive: bytes) -> None:
    web.serve(f"{SOURCES['emnist'].mirrors[0]}gzip.zip", b"wrong content")
    hashes = f"has md5 {md5(b'wrong content')}; expected {md5(emnist_archive)}"
    with pytest.raises(ValueError, match=rf"gzip\.zip {hashes}"):
        load_data("emnist", tmp_path)
    assert folder_contents(tmp_path) == []


def test_emnist_is_read_from_local_gzip_files(tmp_path: Path, tiny: TinyDataset, emnist_archive: bytes) -> None:
    source = SOURCES["emnist"]
    with zipfile.ZipFile(io.BytesIO(emnist_archive)) as zipped:
        tiny.write(source, tmp_path, {f"{name}.gz": zipped.read(f"gzip/{name}.gz") for name in source.names})
    assert tiny.load("emnist", tmp_path, download=False) == tiny.splits


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("mnist", "mnist"),
        ("data/Sign Language", "Sign Language"),
        ("/tmp/letters.v2/mnist_train.csv.gz", "mnist_train"),
        ("~/own/", "own"),
        ("./.hidden", "hidden"),
        ("/", "own"),
    ],
)
def test_own_data_is_named_after_its_folder_or_file(data: str, name: str) -> None:
    assert short_name(data) == name
