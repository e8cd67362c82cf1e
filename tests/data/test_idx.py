from __future__ import annotations

import gzip
import re
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lenet5 import load_data
from lenet5.data.catalogue import SOURCES
from lenet5.data.idx import read_idx

if TYPE_CHECKING:
    from tests.data.conftest import TinyDataset


@given(data=st.data(), dtype=st.sampled_from(["uint8", "int16", "int32"]))
def test_idx_round_trip(
    tmp_path_factory: pytest.TempPathFactory, tiny: TinyDataset, data: st.DataObject, dtype: str
) -> None:
    array = data.draw(hnp.arrays(dtype, hnp.array_shapes(max_dims=3, max_side=4)))
    path = tmp_path_factory.getbasetemp() / "file-idx"
    path.write_bytes(tiny.idx(array))
    tensor = read_idx(path)
    assert tensor.dtype == (torch.uint8 if dtype == "uint8" else torch.int64)
    assert tensor.tolist() == array.tolist()


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (lambda _: b"", "(delete it to download it again) starts with 0x; expected an IDX file of 1 to 3 dimensions"),
        (lambda _: b"\0\0\x08", "starts with 0x000008; expected an IDX file"),
        (lambda _: b"\x1f\x8b\x08\x01" + bytes(8), "starts with 0x1f8b0801; expected an IDX file"),
        (lambda _: b"\0\0\x0a\x01" + bytes(8), "starts with 0x00000a01; expected"),
        (lambda _: b"\0\0\x08\0" + bytes(8), "starts with 0x00000800; expected"),
        (lambda _: b"\0\0\x08\x04" + bytes(99), "starts with 0x00000804; expected"),
        (lambda idx: idx[:-1], "has 87 bytes and shape (8, 3, 3); expected 88 bytes"),
        (lambda idx: idx + b"\0", "has 89 bytes and shape (8, 3, 3); expected 88 bytes"),
        (lambda idx: idx[:6], "has 6 bytes and shape "),
    ],
    ids=["empty", "short", "gzip", "type", "no axes", "4 axes", "truncated", "too long", "header only"],
)
def test_read_idx_rejects_corrupt_file(
    tmp_path: Path, tiny: TinyDataset, corrupt: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "file-idx"
    path.write_bytes(corrupt(tiny.idx(tiny.images)))
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        read_idx(path)
    assert str(raised.value).startswith(f"{path} (delete it to download it again) ")


def test_read_idx_rejects_truncated_int32_file(tmp_path: Path, tiny: TinyDataset) -> None:
    (tmp_path / "file-idx").write_bytes(tiny.idx(tiny.targets.astype(np.int32))[:-2])
    with pytest.raises(ValueError, match=re.escape("has 38 bytes and shape (8,); expected 40 bytes")):
        read_idx(tmp_path / "file-idx")


@pytest.mark.parametrize("shape", [(0,), (8, 0, 3)])
def test_read_idx_rejects_file_without_values(tmp_path: Path, tiny: TinyDataset, shape: tuple[int, ...]) -> None:
    (tmp_path / "file-idx").write_bytes(tiny.idx(np.zeros(shape, np.uint8)))
    with pytest.raises(ValueError, match=re.escape(f"and shape {shape}; expected") + r" \d+ bytes, not empty"):
        read_idx(tmp_path / "file-idx")


def test_truncated_file_of_unknown_hash_is_rejected(tmp_path: Path, tiny: TinyDataset) -> None:
    source = SOURCES["kmnist"]
    contents = tiny.contents(source.names)
    name = source.names[2]
    tiny.write(source, tmp_path, contents | {name: contents[name][:-5]})
    with pytest.raises(
        ValueError,
        match=re.escape(f"{name} (delete it to download it again) has 47 bytes and shape (4, 3, 3); expected 52 bytes"),
    ):
        load_data("kmnist", tmp_path)


def huge_archives() -> dict[str, bytes]:
    """Return archives that unpack to gigabytes: of zeros, and of images with a right and with a huge header."""
    zeros = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = b"".join(zeros.compress(bytes(1 << 20)) for _ in range(1 << 10)) + zeros.flush()
    headers = {"zeros": b"", "right header": (8, 60_000, 28, 28), "huge header": (8, 1 << 31, 28, 28)}
    pack = {name: gzip.compress(_header(*parts) if parts else b"", mtime=0) for name, parts in headers.items()}
    return {name: header + body for name, header in pack.items()}


def _header(kind: int, *shape: int) -> bytes:
    return bytes([0, 0, kind, len(shape)]) + np.array(shape, ">u4").tobytes()


def test_archives_are_unpacked_only_as_far_as_needed(tmp_path: Path) -> None:
    for name, data in huge_archives().items():
        (tmp_path / "images.gz").write_bytes(data)
        tracemalloc.start()
        with pytest.raises(ValueError, match="delete it to download it again"):
            read_idx(tmp_path / "images.gz")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < (110e6 if name == "right header" else 10e6), name
