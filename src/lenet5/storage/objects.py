"""JSON objects, sealed by a hash of their content."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .atomic import write_file
from .paths import StrPath, shown
from .reading import read_file

LARGEST = 8 << 20  # bytes; a parsed object takes up to forty times as much memory


def json_bytes(value: Any) -> bytes:
    """Serialise a value as indented JSON; keys keep their order.

    Raises
    ------
    ValueError
        The result is larger than `read_json` accepts.
    """
    data = (json.dumps(value, indent=2) + "\n").encode()
    if len(data) > LARGEST:
        raise ValueError(f"the JSON has {len(data)} bytes; expected at most {LARGEST}: keep large data in tensors")
    return data


def write_json(path: StrPath, value: Any) -> None:
    """Write a value as indented JSON."""
    write_file(path, json_bytes(value))


def read_json(path: StrPath) -> dict[str, Any]:
    """Read a JSON object of at most 8 MiB.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        The file is not a JSON object, or is too large.
    """
    return parse_json(read_file(path, limit=LARGEST), path)


def parse_json(data: bytes, path: StrPath) -> dict[str, Any]:
    """Parse a JSON object; errors name `path`, as in `read_json`."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{shown(path)} is not readable as JSON ({error}); it is truncated or was edited") from error
    if not isinstance(value, dict):
        raise ValueError(f"{shown(path)} holds a JSON {type(value).__name__}; expected an object")
    return value


def plain(name: str, value: Any) -> Any:
    """Convert an argument to what JSON holds; arrays, tensors and their scalars become lists and numbers.

    Raises
    ------
    TypeError
        The value holds something else.
    ValueError
        It holds NaN or an infinite number, or itself.
    """
    try:
        return json.loads(json.dumps(value, default=_as_list, allow_nan=False))
    except ValueError as error:
        raise ValueError(f"{name} holds what JSON lacks ({error}); expected finite numbers, texts, or None") from error


def _as_list(value: Any) -> Any:
    if callable(convert := getattr(value, "tolist", None)):  # of numpy, torch and pandas
        return convert()
    raise TypeError(f"an object of type {type(value).__name__} is not JSON serializable")


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with the hash of its content prepended under the key "digest"."""
    value = json.loads(json.dumps(value))  # as it will be read back: all keys are strings
    return {"digest": _digest(value), **value}


def unsealed(value: Mapping[str, Any], path: StrPath) -> dict[str, Any]:
    """Return a sealed object without its digest; raise ValueError if it has none, or if it does not match."""
    if "digest" not in value:
        raise ValueError(f"{shown(path)} is damaged or was edited, or a different program wrote it: it has no digest")
    content = {name: entry for name, entry in value.items() if name != "digest"}
    try:
        matches = value.get("digest") == _digest(content)
    except RecursionError:  # nested more deeply than what was written
        matches = False
    if not matches:
        raise ValueError(f"{shown(path)} is damaged or was edited: its digest does not match its content")
    return content


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
