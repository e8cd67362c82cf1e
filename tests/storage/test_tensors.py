import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from lenet5 import storage

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool)


def random_tensors() -> st.SearchStrategy[dict[str, Tensor]]:
    arrays = hnp.arrays("int64", hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    values = st.builds(lambda array, dtype: torch.from_numpy(array).to(dtype), arrays, st.sampled_from(DTYPES))
    return st.dictionaries(st.text().filter(lambda name: name != "__metadata__"), values, max_size=4)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@given(tensors=random_tensors())
def test_tensor_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, Tensor]) -> None:
    path = tmp_path_factory.getbasetemp() / "tensors.safetensors"
    storage.write_tensors(path, tensors)
    loaded = storage.read_tensors(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_write_tensors_accepts_shared_strided_and_trainable_tensors(tmp_path: Path) -> None:
    base = torch.arange(12.0).view(3, 4).requires_grad_()
    tensors = {"base": base, "same": base, "transposed": base.mT, "row": base[1], "expanded": base[:, :1].expand(3, 5)}
    storage.write_tensors(tmp_path / "file", tensors)
    loaded = storage.read_tensors(tmp_path / "file")
    assert {name: tensor.tolist() for name, tensor in loaded.items()} == {
        name: tensor.tolist() for name, tensor in tensors.items()
    }
    loaded["base"].zero_()
    assert base[1].tolist() == [4, 5, 6, 7]
    assert not any(tensor.requires_grad for tensor in loaded.values())


def test_changed_bit_is_reported_with_both_hashes(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    storage.write_tensors(path, {"weight": torch.arange(4.0)})
    data = path.read_bytes()
    expected = hashlib.sha256(data).hexdigest()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        changed = hashlib.sha256(path.read_bytes()).hexdigest()
        with pytest.raises(
            ValueError, match=rf"model\.safetensors is damaged.*expected sha256 {expected}, .*{changed}"
        ):
            storage.read_tensors(path, sha256=expected)


def test_truncated_tensors_are_rejected_at_any_length(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    storage.write_tensors(path, {"weight": torch.arange(4.0)})
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"model\.safetensors is not a safetensors file"):
            storage.read_tensors(path)


def test_pickle_is_rejected_and_not_executed(tmp_path: Path) -> None:
    path, touched = tmp_path / "model.safetensors", tmp_path / "touched"
    path.write_bytes(pickle.dumps(Bomb(touched)))
    with pytest.raises(ValueError, match=r"model\.safetensors is not a safetensors file"):
        storage.read_tensors(path)
    torch.save({"bomb": Bomb(touched)}, path)
    with pytest.raises(ValueError, match=r"model\.safetensors is not a safetensors file"):
        storage.read_tensors(path)
    assert not touched.exists()


def test_header_beyond_the_limit_is_rejected_before_it_is_parsed() -> None:
    size = storage.LARGEST + 1
    data = size.to_bytes(8, "little") + b"{" + b" " * size
    with pytest.raises(ValueError, match="bomb is not a safetensors file: its header has 8388609 bytes"):
        storage.parse_tensors(data, "bomb")


def test_limit_is_that_of_the_largest_right_file() -> None:
    tensors = {"weight": torch.zeros(3, 4, dtype=torch.float64), "bias": torch.zeros(0)}
    on_meta = {name: tensor.to("meta") for name, tensor in tensors.items()}
    assert storage.tensors_limit(on_meta) == storage.LARGEST + 96 >= len(storage.tensors_bytes(tensors))
