"""Arguments: numbers and booleans of any type, such as numpy's, become Python's own; names get suggestions."""

import difflib
import numbers
from collections.abc import Iterable
from typing import Any

_LARGEST_SUM = 1.1  # of rounded probabilities


def as_number(value: object) -> int | float | None:
    """Convert a real number of any type to int or float; return None if the value is none.

    Zero-dimensional arrays and tensors are numbers. True and False are not.
    """
    item = getattr(value, "item", None)
    if callable(item) and not getattr(value, "ndim", 1):  # numpy's and torch's scalars
        value = item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def as_integer(value: object) -> int | None:
    """Convert an integer of any type to int; return None if the value is none.

    Floats without a fractional part are integers, because a pandas row of mixed columns has only floats.
    """
    number = as_number(value)
    if isinstance(number, float):
        return int(number) if number.is_integer() else None
    return number


def as_boolean(value: object) -> bool | None:
    """Convert a bool of Python, numpy or torch to bool; return None if the value is none."""
    item = getattr(value, "item", None)
    value = item() if callable(item) and not getattr(value, "ndim", 1) else value
    return value if isinstance(value, bool) else None


def check_boolean(name: str, value: object) -> bool:
    """Convert a boolean argument to bool; a text such as "no" would count as true.

    Raises
    ------
    ValueError
        The value is neither True nor False.
    """
    boolean = as_boolean(value)
    if boolean is None:
        raise ValueError(f"{name} is {value!r}; expected True or False")
    return boolean


def check_probabilities(probabilities: Any) -> None:
    """Raise ValueError unless all of an array (N, num_classes) are probabilities, and no row adds up to more than 1.

    A class that is left out, such as a rejection, makes a sum less than 1.
    """
    if not ((probabilities >= 0) & (probabilities <= 1 + 1e-6)).all():  # float32 softmax can round above 1
        low, high = probabilities.min(), probabilities.max()
        raise ValueError(f"probabilities lie in [{low:.4g}, {high:.4g}]; expected [0, 1]")
    largest = probabilities.sum(axis=1, dtype="float64").max()
    if largest > _LARGEST_SUM:
        raise ValueError(f"a row of probabilities adds up to {largest:.4g}; expected 1 at most")


def check_integer(name: str, value: object, *, least: int) -> int:
    """Convert an integer argument to int.

    Raises
    ------
    ValueError
        The value is not an integer of at least `least`.
    """
    number = as_integer(value)
    if number is None or number < least:
        raise ValueError(f"{name} is {value!r}; expected an integer of at least {least}")
    return number


def suggestion(value: str, names: Iterable[str]) -> str:
    """Return a clause that suggests the name most similar to a misspelt one, or "" if none is similar."""
    by_key = {name.lower(): name for name in names}
    matches = difflib.get_close_matches(value.lower(), by_key, n=1, cutoff=0.7)
    return f" (did you mean {by_key[matches[0]]!r}?)" if matches else ""
