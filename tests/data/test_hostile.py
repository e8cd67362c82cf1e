"""Own data that would block or fill the memory is refused before it does."""

import gzip
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import lenet5
from lenet5 import ImageDataset


def read(path: Path) -> ImageDataset:
    return ImageDataset.from_npz(path) if path.suffix == ".npz" else ImageDataset.from_csv(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz", "data.npz"])
def test_pipes_and_devices_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    os.mkfifo(path)
    for _ in range(2):
        for load in (read, lenet5.load_data):
            with pytest.raises(ValueError, match="is a pipe or a device; expected a file"):
                load(path)
        path.unlink()
        path.symlink_to("/dev/zero")


def archive(path: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            file.writestr(f"{name}.npy", data)


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (header((2, 28, 28)) + bytes(10**8), r"shape \(2, 28, 28\) and 100000000 bytes of content; expected 1568"),
        (header((10**12, 28, 28)) + bytes(10), "and 10 bytes of content; expected 784000000000000"),
        (header((10**8, 1, 1)) + bytes(10**8), r"images has shape \(100000000, 1, 1\) and labels \(2,\)"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x0f" + bytes(10**8), "images cannot be read"),
    ],
)
def test_arrays_are_checked_before_their_content_is_read(images: bytes, message: str, tmp_path: Path) -> None:
    archive(tmp_path / "data.npz", {"images": images, "labels": header((2,)) + bytes([0, 1])})
    del images
    with pytest.raises(ValueError, match=message):
        ImageDataset.from_npz(tmp_path / "data.npz")


BOMBS = {"zeros": b"\0", "digits": b"1", "fields": b"1,", "quote": b'"\n', "empty rows": b"\n"}


@pytest.mark.parametrize("start", [b"", b"label," + b",".join(b"p%d" % number for number in range(784)) + b"\n"])
@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the memory of a process")
def test_memory_of_a_packed_table_is_bounded(start: bytes, bomb: str, tmp_path: Path) -> None:
    import resource

    path = tmp_path / "data.csv.gz"
    part = BOMBS[bomb] * ((1 << 20) // len(BOMBS[bomb]))
    with gzip.open(path, "wb", 1) as file:
        file.write(start)
        for _ in range(100):
            file.write(part)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"data.csv.gz"):
        ImageDataset.from_csv(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80_000  # KB


def test_home_folder_and_names_in_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    np.savez(tmp_path / "data.npz", images=np.arange(4 * 784, dtype=np.uint8).reshape(4, 28, 28), labels=[0, 1, 0, 1])
    assert len(ImageDataset.from_npz("~/data.npz")) == 4
    for load in (ImageDataset.from_npz, ImageDataset.from_csv, ImageDataset.from_folder):
        with pytest.raises(FileNotFoundError) as raised:
            load("a\n\x1b[31mb")
        assert r"a\n\x1b[31mb" in str(raised.value)
