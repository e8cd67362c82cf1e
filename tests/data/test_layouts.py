"""Where the files of a dataset may lie, and under which names."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lenet5 import load_data
from lenet5.data.catalogue import SOURCES, IdxFiles

if TYPE_CHECKING:
    from tests.data.conftest import TinyDataset, Web

NAMES = SOURCES["mnist"].names
MIRROR = "https://first.example/"


@pytest.fixture
def contents(tiny: TinyDataset) -> dict[str, bytes]:
    return tiny.contents(NAMES)


@pytest.fixture(autouse=True)
def source(contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> IdxFiles:
    """Replace MNIST with a tiny dataset."""
    hashes = tuple(hashlib.sha256(data).hexdigest() for data in contents.values())
    tiny_files = IdxFiles("Tiny", ("even", "odd"), (MIRROR,), sha256=hashes)
    monkeypatch.setitem(SOURCES, "mnist", tiny_files)
    return tiny_files


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "layout",
    ["Tiny/raw/{}", "Tiny/{}", "{}", "{0}/{0}", "Tiny/raw/{0}/{0}"],
    ids=["raw", "dataset", "flat", "nested", "both"],
)
@pytest.mark.parametrize("dotted", [False, True])
def test_files_are_read_as_they_lie(
    tmp_path: Path, web: Web, tiny: TinyDataset, contents: dict[str, bytes], *, packed: bool, layout: str, dotted: bool
) -> None:
    for name, data in contents.items():
        path = tmp_path / layout.format(name.replace("-idx", ".idx") if dotted else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if packed:
            path = path.with_name(f"{path.name}.gz")
        path.write_bytes(gzip.compress(data) if packed else data)
    before = sorted(tmp_path.rglob("*"))
    assert tiny.load("mnist", tmp_path, download=False) == tiny.splits
    assert sorted(tmp_path.rglob("*")) == before
    assert web.requests == []


def test_files_of_a_different_dataset_in_the_same_folder_are_not_taken(
    tmp_path: Path, web: Web, tiny: TinyDataset, contents: dict[str, bytes]
) -> None:
    for name in NAMES:
        (tmp_path / name).write_bytes(tiny.idx(np.ones((3, 2, 2), np.uint8)))
    with pytest.raises(FileNotFoundError, match="does not exist, and downloads are off"):
        load_data("mnist", tmp_path, download=False)
    with pytest.raises(FileNotFoundError, match="does not exist, and downloads are off"):
        load_data("kmnist", tmp_path, download=False)  # of unknown hash
    web.serve_archives(MIRROR, contents)
    assert tiny.load("mnist", tmp_path) == tiny.splits
    assert sorted(path.name for path in (tmp_path / "Tiny" / "raw").iterdir()) == sorted(NAMES)


def test_home_folder_of_the_root_is_expanded(
    tmp_path: Path, tiny: TinyDataset, source: IdxFiles, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    tiny.write(source, tmp_path / "data", contents)
    assert tiny.load("mnist", Path("~/data"), download=False) == tiny.splits
