"""Plans: the layers that a kernel replaces are checked in full once, and at every call compared with what they were.

What a layer computes is decided by dictionaries: its attributes, parameters and children, and the namespaces of its
classes and of the modules whose functions it calls. Python changes the version of a dictionary with the dictionary, so
comparing versions takes the place of comparing contents.
"""

import gc
import weakref
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from .. import unmodified

_METHODS = ("forward", "__call__", "_call_impl", "__getattr__")
_calls = attrgetter("_call_impl", "__getattr__")
_attributes = attrgetter("__dict__")


class Watch:
    """The functions by which layers compute. They are those of torch and of this package, or no kernel runs.

    Parameters
    ----------
    layers
        The classes of the layers; their methods are watched.
    paths
        Paths to the functions that these methods call, from torch.nn or a class of the layers, such as
        "nn.functional.linear".

    Attributes
    ----------
    namespaces
        The dictionaries in which the functions of `paths` are found. Those of the layers' classes come with a plan.
    """

    def __init__(self, layers: Iterable[type[nn.Module]], *paths: str) -> None:
        classes = {layer.__name__: layer for layer in layers}
        root = SimpleNamespace(nn=nn, **classes)
        defined = [*(f"{name}.forward" for name in classes), *(f"nn.Module.{method}" for method in _METHODS), *paths]
        inherited = [f"{name}.{method}" for name in classes for method in _METHODS]
        self._functions, self._inherited = attrgetter(*defined), attrgetter(*inherited)
        self._root = root
        self.namespaces: list[dict[str, Any]] = [*chain(*map(_namespaces, _owners(root, paths)))]
        found = (self._functions(root), self._inherited(root))
        self._original = found if all(map(unmodified.is_original, chain(*found))) else None  # None: replaced already

    def is_original(self) -> bool:
        """Return True if the functions are those that torch and this package define."""
        return (self._functions(self._root), self._inherited(self._root)) == self._original


class Plan:
    """Layers whose kernel applies, and all that decides what they compute, as it was when the plan was made.

    The comparison is fast, because for one image it takes longer than the arithmetic.

    Parameters
    ----------
    model
        The network, to which the plan keeps no reference.
    layers
        The layers, with their children.
    watch
        The functions by which they compute.
    """

    layers: Sequence[nn.Module]
    shapes: list[Any]
    addresses: list[Any]
    described: Any = None  # what C calls a network, made when first needed

    def __init__(self, model: nn.Module, layers: Sequence[nn.Module], watch: Watch) -> None:
        modules = [model, *layers]
        self._own = dict(vars(model))  # not the dict itself, which may come to hold the model, in a bound method
        self._bases = type(model).__mro__
        self.layers, self._types = layers, [type(layer) for layer in layers]
        self._states = [vars(layer) for layer in layers]
        members = [part for layer in layers for part in _members(layer) if part]
        namespaces = [*watch.namespaces, *chain(*map(_namespaces, dict.fromkeys([type(model), *self._types])))]
        unique = {id(namespace): namespace for namespace in namespaces}.values()
        self._dictionaries: list[Any] = [*self._states, *_members(model), *members, *unique]
        self._versions = [*map(_version, self._dictionaries)]
        self._hooks = [hooks for module in modules for hooks in unmodified.hooks(module)]
        self._parameters = [*chain(*(layer._parameters.values() for layer in layers))]
        self._set_tensors([*self._parameters, *chain(*(layer._buffers.values() for layer in layers))])

    def _set_tensors(self, tensors: list[Any]) -> None:
        self._tensors = tensors
        self.shapes = [tensor.shape for tensor in tensors]
        self.addresses = [tensor.data_ptr() for tensor in tensors]
        self._storages = [tensor.untyped_storage() for tensor in tensors]
        self._sizes = [*map(len, self._storages)]
        self._guard = _guard(tensors)

    def tensors(self) -> list[Any]:
        """Return the parameters of the layers."""
        return self._parameters

    def holds(self, model: nn.Module) -> bool:
        """Return True if nothing has changed since the plan was made, except the values of the parameters."""
        try:
            return (
                vars(model) == self._own
                and type(model).__mro__ == self._bases
                and [*map(_attributes, self.layers)] == self._states
                and [*map(type, self.layers)] == self._types
                and [*map(_version, self._dictionaries)] == self._versions
                and not any(self._hooks)
                and self._guard(*self._tensors)
                and [*map(Tensor.data_ptr, self._tensors)] == self.addresses
                and [*map(len, self._storages)] == self._sizes  # in bytes
            )
        except (RuntimeError, TypeError, ValueError):  # values without a truth value, or tensors without memory
            return False


class Plans:
    """The plans of models, made when first needed and when a model has changed.

    Parameters
    ----------
    watch
        The functions by which the layers compute.
    find_layers
        Returns the layers that the kernel replaces, with their children, or None if it cannot replace them, or cannot
        read their tensors.
    """

    def __init__(self, watch: Watch, find_layers: Callable[[Any], Sequence[nn.Module] | None]) -> None:
        self._watch, self._find_layers = watch, find_layers
        self._plans: weakref.WeakKeyDictionary[nn.Module, Plan | None] = weakref.WeakKeyDictionary()

    def get(self, model: nn.Module) -> Plan | None:
        """Return the plan of a model; None if the kernel does not apply."""
        plan = self._plans.get(model)
        if plan is not None and plan.holds(model):
            return plan
        plan = self._plans[model] = self._make(model)
        return plan

    def _make(self, model: nn.Module) -> Plan | None:
        layers = self._find_layers(model)
        if layers is None or not _computes_by_layers(model) or not unmodified.are_unmodified([model, *layers]):
            return None
        return Plan(model, layers, self._watch) if self._watch.is_original() else None


def _computes_by_layers(model: nn.Module) -> bool:
    """Return True if a model calls `forward`, and finds its layers, as any module does."""
    return bool(_calls(type(model)) == _calls(nn.Module))


def _members(module: nn.Module) -> list[dict[str, Any]]:
    return [module._modules, module._parameters, module._buffers]


def _owners(root: object, paths: Iterable[str]) -> list[Any]:
    """Return the modules and classes in which the last names of paths, and the aliases before them, are looked up."""
    names = [path.split(".") for path in paths]
    owners = {".".join(parts[:count]) for parts in names for count in range(1, len(parts))}
    return [attrgetter(owner)(root) for owner in sorted(owners)]


def _namespaces(owner: ModuleType | type) -> list[dict[str, Any]]:
    """Return the dictionary of a module, or those of a class and its bases."""
    if isinstance(owner, ModuleType):
        return [vars(owner)]
    return [gc.get_referents(vars(base))[0] for base in owner.__mro__[:-1]]  # vars: a read-only view without a version


_guards: Any = getattr(getattr(torch._C, "_dynamo", None), "guards", None)  # no part of torch's public interface


def _unknown(_: dict[str, Any]) -> object:
    return object()  # differs from every other: plans are then made at every call


_version: Callable[[dict[str, Any]], object] = getattr(_guards, "dict_version", _unknown)


def _guard(tensors: Sequence[Tensor]) -> Callable[..., bool]:
    """Return a check, in C++, that tensors still have these types, dispatch keys, dtypes, shapes and strides."""
    if not tensors:
        return lambda: True
    if not hasattr(_guards, "TensorGuards"):
        return lambda *_: False  # plans are then made at every call
    sizes, strides = [list(tensor.shape) for tensor in tensors], [list(tensor.stride()) for tensor in tensors]
    guards = _guards.TensorGuards(*tensors, dynamic_dims_sizes=sizes, dynamic_dims_strides=strides)
    check: Callable[..., bool] = guards.check
    return check
