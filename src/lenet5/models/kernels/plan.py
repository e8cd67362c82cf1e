"""Plans: the layers that a kernel replaces are checked in full once, and at every call compared with what they were."""

import weakref
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn

from .. import unmodified

_METHODS = ("forward", "__call__", "_call_impl", "__getattr__")
_model_methods = attrgetter("forward", "_call_impl", "__getattr__")


class Watch:
    """The functions by which layers compute. They are those of torch and of this package, or no kernel runs.

    Parameters
    ----------
    layers
        The classes of the layers; their methods are watched.
    paths
        Paths to the functions that these methods call, from torch.nn or a class of the layers, such as
        "nn.functional.linear".
    """

    def __init__(self, layers: Iterable[type[nn.Module]], *paths: str) -> None:
        classes = {layer.__name__: layer for layer in layers}
        root = SimpleNamespace(nn=nn, **classes)
        defined = [*(f"{name}.forward" for name in classes), *(f"nn.Module.{method}" for method in _METHODS), *paths]
        inherited = [f"{name}.{method}" for name in classes for method in _METHODS]
        self._functions, self._inherited = attrgetter(*defined), attrgetter(*inherited)
        self._root = root
        bases = {base: vars(base) for layer in classes.values() for base in layer.__mro__[:-1]}
        self._namespaces = list(bases.values())
        found = (self._functions(root), self._inherited(root))
        self._original = found if all(map(unmodified.is_original, chain(*found))) else None  # None: replaced already

    def now(self) -> tuple[tuple[Any, ...], list[int]]:
        """Return the functions, and the sizes of the classes, which grow when a class gets a method of its own."""
        return self._functions(self._root), [*map(len, self._namespaces)]

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

    shapes: list[Any]
    addresses: list[Any]
    described: Any = None  # what C calls a network, made when first needed

    def __init__(self, model: nn.Module, layers: Sequence[nn.Module], watch: Watch) -> None:
        modules = [model, *layers]
        self._watch, self._watched, self._methods = watch, watch.now(), _model_methods(type(model))
        self.layers, self._types = layers, [type(layer) for layer in layers]
        self._own = dict(vars(model))  # not the dict itself, which may come to hold the model, in a bound method
        self._states: list[dict[str, Any]] = [vars(layer) for layer in layers]
        self._attributes = [dict(state) for state in self._states]
        self._children = [module._modules.values() for module in modules if module._modules]  # live views
        self._modules = [*chain(*self._children)]
        self._hooks = [hooks for module in modules for hooks in unmodified.hooks(module)]
        self._parameters: list[Iterable[Any]] = [layer._parameters.values() for layer in layers if layer._parameters]
        self._buffers = [layer._buffers.values() for layer in layers if layer._buffers]
        self._set_tensors([*chain(*self._parameters, *self._buffers)])

    def _set_tensors(self, tensors: list[Any]) -> None:
        self.shapes = [tensor.shape for tensor in tensors]
        self.addresses = [tensor.data_ptr() for tensor in tensors]
        self._storages = [tensor.untyped_storage() for tensor in tensors]
        self._sizes = [storage.nbytes() for storage in self._storages]
        self._guard = _guard(tensors)

    def tensors(self) -> list[Tensor]:
        """Return the present parameters of the layers."""
        return [*chain.from_iterable(self._parameters)]

    def holds(self, model: nn.Module) -> bool:
        """Return True if nothing has changed since the plan was made, except the values of the parameters."""
        try:
            return (
                vars(model) == self._own
                and self._states == self._attributes
                and [*map(type, self.layers)] == self._types
                and [*chain(*self._children)] == self._modules
                and not any(self._hooks)
                and self._watch.now() == self._watched
                and _model_methods(type(model)) == self._methods
                and self._tensors_hold()
            )
        except (RuntimeError, TypeError, ValueError):  # values without a truth value, or tensors without memory
            return False

    def _tensors_hold(self) -> bool:
        tensors: list[Any] = [*chain(*self._parameters, *self._buffers)]
        return not tensors or (
            self._guard(*tensors)
            and [*map(Tensor.data_ptr, tensors)] == self.addresses
            and [*map(UntypedStorage.nbytes, self._storages)] == self._sizes
        )


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
    return _model_methods(type(model))[1:] == _model_methods(nn.Module)[1:]


def _guard(tensors: Sequence[Tensor]) -> Callable[..., bool]:
    """Return a check, in C++, that tensors still have these types, dispatch keys, dtypes, shapes and strides."""
    try:
        guards: Any = torch._C._dynamo.guards.TensorGuards
    except AttributeError:  # no part of torch's public interface
        return lambda *_: False  # plans are then made at every call
    if not tensors:
        return lambda *_: False
    sizes, strides = [list(tensor.shape) for tensor in tensors], [list(tensor.stride()) for tensor in tensors]
    check: Callable[..., bool] = guards(*tensors, dynamic_dims_sizes=sizes, dynamic_dims_strides=strides).check
    return check
