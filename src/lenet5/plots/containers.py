"""What figures are drawn from besides arrays: tables, mappings, sequences and names."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any


def unexpected(name: str, value: object, expected: str) -> ValueError:
    """Return the error for an argument of another kind than expected."""
    empty = isinstance(value, list | tuple | Mapping) and not value
    kind = type(value).__name__
    found = "None" if value is None else f"an empty {kind}" if empty else f"of type {kind}"
    return ValueError(f"{name} is {found}; expected {expected}")


def is_table(value: object) -> bool:
    """Return True for a DataFrame, without loading pandas."""
    return hasattr(value, "columns") and hasattr(value, "iterrows")


def check_table(name: str, value: object, expected: str) -> None:
    """Raise ValueError unless a value is a DataFrame."""
    if not is_table(value):
        raise unexpected(name, value, expected)


def check_mapping(name: str, value: object, expected: str) -> None:
    """Raise ValueError unless a value is a mapping."""
    if not isinstance(value, Mapping):
        raise unexpected(name, value, expected)


def as_sequence(name: str, values: Any, expected: str) -> list[Any]:
    """Return the elements of a sequence; raise ValueError for what is none, such as a text."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Sized):
        raise unexpected(name, values, expected)
    try:
        return list(values)  # type: ignore[call-overload,no-any-return]
    except TypeError as error:  # an array without axes
        raise unexpected(name, values, expected) from error


def as_names(name: str, values: Any) -> list[str]:
    """Return the elements of a sequence of names as texts."""
    return [str(value) for value in as_sequence(name, values, "a sequence of names")]
