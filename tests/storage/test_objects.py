import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5 import storage


def json_objects() -> st.SearchStrategy[dict[str, Any]]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()

    def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)

    return st.dictionaries(st.text(), st.recursive(leaves, extend, max_leaves=5), max_size=3)


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


@pytest.mark.parametrize("changes", [{"value": 2}, {"more": 1}, {"digest": None}, {"digest": "0" * 64}])
def test_unsealed_rejects_an_object_that_was_changed(changes: dict[str, object]) -> None:
    sealed = storage.sealed({"value": 1, "nested": {1: [2.5, None]}})
    assert storage.unsealed(sealed, "config.json") == {"value": 1, "nested": {"1": [2.5, None]}}
    assert next(iter(sealed)) == "digest"
    with pytest.raises(ValueError, match="config.json is damaged or was edited: its digest does not match"):
        storage.unsealed(sealed | changes, "config.json")


def test_object_nested_too_deeply_to_be_sealed_is_rejected() -> None:
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"": nested}
    with pytest.raises(ValueError, match="its digest does not match its content"):
        storage.unsealed({"digest": "", **nested}, "config.json")
    while nested:  # one by one, because a destructor recurses too
        nested = nested.pop("")


def test_json_beyond_the_limit_is_neither_read_nor_written(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(ValueError, match=r"config\.json has 104857600 bytes; expected at most 8388608"):
        storage.read_json(path)
    with pytest.raises(ValueError, match="the JSON has .* bytes; expected at most 8388608: keep large data in tensors"):
        storage.write_json(path, {"value": "x" * storage.LARGEST})
