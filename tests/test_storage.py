import hashlib
import json
import os
import pickle
import stat
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


def json_objects() -> st.SearchStrategy[dict[str, Any]]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()

    def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)

    return st.dictionaries(st.text(), st.recursive(leaves, extend, max_leaves=5), max_size=3)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def raise_disk_full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def interrupt_while_writing_folder(path: Path) -> None:
    with storage.written_folder(path) as folder:
        (folder / "new").touch()
        raise KeyboardInterrupt


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_write_file_replaces_the_content_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    for data in (b"old", b"", b"the new and longer bytes"):
        storage.write_file(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
        assert names_in(tmp_path) == ["file"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_files_and_folders_have_default_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    (tmp_path / "plain_folder").mkdir()
    storage.write_file(tmp_path / "written", b"")
    with storage.written_folder(tmp_path / "written_folder"):
        pass
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names_in(tmp_path)}
    assert modes["written"] == modes["plain"]
    assert modes["written_folder"] == modes["plain_folder"]


def test_failed_write_keeps_the_old_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_file(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", raise_disk_full)
    for name in ("file", "new"):
        with pytest.raises(OSError, match="No space left"):
            storage.write_file(tmp_path / name, b"new")
    assert names_in(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_folder_is_renamed_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "parent" / "folder"
    with storage.written_folder(target) as folder:
        (folder / "file").write_text("content", encoding="utf-8")
        assert not target.exists()
        assert folder.parent == target.parent
    assert names_in(target.parent) == ["folder"]
    assert (target / "file").read_text(encoding="utf-8") == "content"


def test_folder_is_replaced_with_all_its_content(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with storage.written_folder(tmp_path / "folder") as folder:
            (folder / name).touch()
    assert names_in(tmp_path) == ["folder"]
    assert names_in(tmp_path / "folder") == ["second"]


def test_interrupted_block_keeps_the_old_folder_only(tmp_path: Path) -> None:
    with storage.written_folder(tmp_path / "folder") as folder:
        (folder / "old").touch()
    for name in ("folder", "new"):
        with pytest.raises(KeyboardInterrupt):
            interrupt_while_writing_folder(tmp_path / name)
    assert names_in(tmp_path) == ["folder"]
    assert names_in(tmp_path / "folder") == ["old"]


def test_old_folder_is_restored_if_the_rename_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "folder"
    with storage.written_folder(target) as folder:
        (folder / "old").touch()
    replace = Path.replace

    def replace_unless_new(self: Path, to: Path) -> Path:
        if to == target and not self.name.endswith(".old"):
            raise_disk_full()
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", replace_unless_new)
    with pytest.raises(OSError, match="No space left"), storage.written_folder(target) as folder:
        (folder / "new").touch()
    assert names_in(tmp_path) == ["folder"]
    assert names_in(target) == ["old"]


def test_recover_restores_a_folder_that_was_set_aside(tmp_path: Path) -> None:
    (tmp_path / ".folder.old").mkdir()
    (tmp_path / ".folder.old" / "kept").touch()
    storage.recover_folder(tmp_path / "folder")
    assert names_in(tmp_path) == ["folder"]
    assert names_in(tmp_path / "folder") == ["kept"]


def test_recover_removes_a_folder_that_was_replaced(tmp_path: Path) -> None:
    for name in ("folder", ".folder.old"):
        (tmp_path / name).mkdir()
    storage.recover_folder(tmp_path / "folder")
    assert names_in(tmp_path) == ["folder"]


def test_write_files_flushes_all_files_before_it_replaces_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {tmp_path / "first": b"1", tmp_path / "second": b"2"}
    storage.write_files(contents)
    calls = iter([None, OSError(28, "No space left on device")])

    def fsync(_: int) -> None:
        if error := next(calls):
            raise error

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        storage.write_files(dict.fromkeys(contents, b"new"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"first": b"1", "second": b"2"}


def test_flush_folder_tolerates_systems_that_cannot_open_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def refuse(path: Path, _: int) -> int:
        opened.append(path)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    storage.flush_folder(tmp_path)
    assert opened == [tmp_path]


@given(value=json_objects())
def test_json_round_trip_preserves_values_and_order(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    storage.write_json(path, value)
    assert storage.read_json(path) == value
    assert list(storage.read_json(path)) == list(value)


def test_json_is_indented_and_ends_with_a_newline(tmp_path: Path) -> None:
    storage.write_json(tmp_path / "value.json", {"b": 1, "a": [2]})
    assert (tmp_path / "value.json").read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": [\n    2\n  ]\n}\n'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not readable as JSON .* truncated or was edited"),
        (json.dumps({"key": "value"}).encode()[:-3], "is not readable as JSON"),
        (b'{"key": "\xff\xfe"}', "is not readable as JSON"),
        (b"[" * 200_000, "is not readable as JSON"),
        (b"[1, 2]", "holds a JSON list; expected an object"),
        (b"null", "holds a JSON NoneType; expected an object"),
    ],
    ids=["empty", "truncated", "not UTF-8", "too deep", "a list", "null"],
)
def test_read_json_rejects_anything_but_an_object(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "config.json").write_bytes(data)
    with pytest.raises(ValueError, match=f"config.json {message}"):
        storage.read_json(tmp_path / "config.json")


def test_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "absent.json", tmp_path / "file" / "absent.json"):
        with pytest.raises(FileNotFoundError, match=r"absent\.json does not exist"):
            storage.read_json(path)
        with pytest.raises(FileNotFoundError, match=r"absent\.json does not exist"):
            storage.read_tensors(path)


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


@pytest.mark.parametrize("changes", [{"value": 2}, {"more": 1}, {"digest": None}, {"digest": "0" * 64}])
def test_unsealed_rejects_an_object_that_was_changed(changes: dict[str, object]) -> None:
    sealed = storage.sealed({"value": 1, "nested": {1: [2.5, None]}})
    assert storage.unsealed(sealed, "config.json") == {"value": 1, "nested": {"1": [2.5, None]}}
    assert next(iter(sealed)) == "digest"
    with pytest.raises(ValueError, match="config.json is damaged or was edited: its digest does not match"):
        storage.unsealed(sealed | changes, "config.json")


def test_pickle_is_rejected_and_not_executed(tmp_path: Path) -> None:
    path, touched = tmp_path / "model.safetensors", tmp_path / "touched"
    path.write_bytes(pickle.dumps(Bomb(touched)))
    with pytest.raises(ValueError, match=r"model\.safetensors is not a safetensors file"):
        storage.read_tensors(path)
    torch.save({"bomb": Bomb(touched)}, path)
    with pytest.raises(ValueError, match=r"model\.safetensors is not a safetensors file"):
        storage.read_tensors(path)
    assert not touched.exists()
