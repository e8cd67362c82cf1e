"""The classes that a weights folder may name.

A later class of the same name replaces an earlier one, as when a notebook's cell runs again, but never a class of this
package: a class from elsewhere that shares its name is named with its module, as in "__main__.LeNet5".
"""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

ARCHITECTURES: dict[str, type[Any]] = {}
"""The latest class of each name."""

_ABOVE = {"QuantizationAware": "quantization.aware"}  # classes of rooms above, imported when a folder names them
_PACKAGE = __name__.partition(".")[0]


def register(model_type: type[Any]) -> None:
    """Let weights folders name a class."""
    ARCHITECTURES[architecture_name(model_type)] = model_type


def architecture_name(model_type: type[Any]) -> str:
    """Return the name of a class in weights folders."""
    name = model_type.__name__
    registered = ARCHITECTURES.get(name)
    taken = registered is not None and _is_bundled(registered) and not _is_bundled(model_type)
    return f"{model_type.__module__}.{name}" if taken else name


def find_architecture(name: object, preferred: type[Any] | None = None) -> type[Any] | None:
    """Return the class to build for a name; None if there is none.

    Parameters
    ----------
    name
        The name in a weights folder.
    preferred
        The class that is asked to load. It is built if the name is its own or that of a base, also from another module.
    """
    if preferred is not None:
        own = preferred.__name__
        renamed = architecture_name(preferred) != own and str(name).endswith(f".{own}")
        if renamed or name in {architecture_name(base) for base in preferred.__mro__}:
            return preferred
    if name in _ABOVE and name not in ARCHITECTURES:
        importlib.import_module(f"{_PACKAGE}.{_ABOVE[str(name)]}")  # which registers the class
    return ARCHITECTURES.get(str(name))


def construct(model_type: type[Any], values: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
    """Call a constructor with the values that it takes. A subclass need not take all: it may set some by itself.

    Parameters
    ----------
    model_type
        The class, whose models have a method `arguments`.
    values
        The values by name.
    arguments
        The same, as `arguments` of the model returns them.

    Raises
    ------
    ValueError
        The constructor does not take an argument, and sets a different value.
    """
    parameters = inspect.signature(model_type).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    taken = {name: value for name, value in values.items() if takes_all or name in parameters}
    model = model_type(**taken)
    own = arguments if len(taken) == len(values) else model.arguments()
    for name, value in arguments.items():
        if own.get(name) != value:
            raise ValueError(f"its constructor takes no {name!r}, and sets {own.get(name)!r}; expected {value!r}")
    return model


def _is_bundled(model_type: type[Any]) -> bool:
    return model_type.__module__.partition(".")[0] == _PACKAGE
