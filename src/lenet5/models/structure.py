"""Whether a module is what its constructor's arguments describe, so that a weights folder can rebuild it."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

_SETTINGS = bool, int, float, str, tuple, list, type(None)
_NEUTRAL = {"training", "inplace", "init"}  # do not change what a trained layer computes


def check_structure(model: nn.Module, build: Callable[[], nn.Module], dtype: torch.dtype | None) -> None:
    """Check that a module is the one that its arguments build; only the values of its tensors may differ.

    Parameters
    ----------
    model
        The module.
    build
        Builds a module from the arguments of `model`.
    dtype
        The dtype of the parameters; None if they have several.

    Raises
    ------
    ValueError
        A layer, a setting, or the name, shape or dtype of a tensor differs. The message says what to do instead.
    """
    name = type(model).__name__
    check_weights_are_stored(model, "saved")
    _warn_of_replaced_methods(model)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):  # its initial weights are not needed
            rebuilt = build().to(dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name} cannot be saved: it cannot be built from its arguments() ({error}); expected arguments that its"
            " constructor takes, or a from_arguments() of its own"
        ) from error
    difference = next(differences(model, rebuilt, dtype), None)
    if difference is not None:
        raise ValueError(
            f"{name} cannot be saved: {difference}. A weights folder holds the arguments and the tensors alone."
            f" Pass what differs to the constructor or to from_pretrained, such as {name}(activation=...) or"
            " from_pretrained(..., num_classes=...), or save the tensors with safetensors.torch.save_model"
        )


def check_weights_are_stored(model: nn.Module, purpose: str) -> None:
    """Raise ValueError if a layer is pruned or parametrized, so that its weights cannot be "saved", or "exported"."""
    for path, layer in model.named_modules():
        if remedy := _undo(layer):
            raise ValueError(
                f"{type(model).__name__} cannot be {purpose}: {path} computes its weights at every call; call {remedy}"
                " first"
            )


def check_fit(model: nn.Module, preprocess: Mapping[str, Any], categories: Sequence[str] | None, place: str) -> None:
    """Raise ValueError unless preprocessing and class names fit a network, if it says what it takes and returns."""
    channels, side, _ = shape = getattr(model, "image_shape", (None,) * 3)
    size = preprocess.get("image_size", side)
    if channels is not None and (found := (preprocess.get("channels", channels), size, size)) != shape:
        raise ValueError(f"{place} prepares images {found}; expected {shape}, as the network does")
    num_classes = getattr(model, "num_classes", None)
    if categories and num_classes is not None and len(categories) != num_classes:
        raise ValueError(f"{place} names {len(categories)} categories; expected {num_classes}")


def _warn_of_replaced_methods(model: nn.Module) -> None:
    """Warn of methods replaced on an instance: some wrappers, such as accelerate's, compute the same, others do not."""
    replaced = [
        f"{path}.{name}".removeprefix(".")
        for path, layer in model.named_modules()
        for name in vars(layer)
        if callable(getattr(type(layer), name, None))
    ]
    if replaced:
        warnings.warn(
            f"a weights folder holds the arguments and the tensors of {type(model).__name__} alone, not what replaces"
            f" {', '.join(replaced)}; the loaded model computes what its class defines",
            stacklevel=2,
        )


def _undo(layer: nn.Module) -> str | None:
    """Return the call that turns a pruned or parametrized layer into a plain one."""
    parameters = {name for name, _ in layer.named_parameters(recurse=False)}
    buffers = {name for name, _ in layer.named_buffers(recurse=False)}
    if any(name.endswith("_mask") and f"{name[:-5]}_orig" in parameters for name in buffers):
        return "torch.nn.utils.prune.remove(layer, name)"
    if isinstance(getattr(layer, "parametrizations", None), nn.ModuleDict):
        return "torch.nn.utils.parametrize.remove_parametrizations(layer, name)"
    if any(name.endswith("_g") and f"{name[:-2]}_v" in parameters for name in parameters):
        return "torch.nn.utils.remove_weight_norm(layer)"
    return None


def differences(model: nn.Module, rebuilt: nn.Module, dtype: torch.dtype | None) -> Iterator[str]:
    """Describe how a module differs from the one that its arguments build."""
    layers, expected = dict(model.named_modules()), dict(rebuilt.named_modules())
    for path in [*expected, *(path for path in layers if path not in expected)]:
        found, built = layers.get(path), expected.get(path)
        if found is None or built is None or type(found) is not type(built):
            yield f"{path} is {_describe(found)}, but its arguments build {_describe(built)}"
        else:
            yield from _different_settings(path, found, built)
    if [*layers] != [*expected]:
        given, order = (", ".join(filter(None, names)) for names in (layers, expected))
        yield f"its layers are in the order {given}, but its arguments build {order}"
    yield from _different_tensors(model, rebuilt, dtype)


def _describe(layer: nn.Module | None) -> str:
    return "no layer" if layer is None else f"{type(layer).__name__}({layer.extra_repr()})"


def _different_settings(path: str, found: nn.Module, built: nn.Module) -> Iterator[str]:
    """Describe the settings of a layer that differ; attributes that the constructor does not set may be anything."""
    for name, value in vars(built).items():
        if name.startswith("_") or name in _NEUTRAL or not isinstance(value, _SETTINGS):
            continue
        given = getattr(found, name, None)
        if _plain(given) != _plain(value):
            yield f"{path}.{name} is {given!r}, but its arguments build {value!r}".removeprefix(".")


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _different_tensors(model: nn.Module, rebuilt: nn.Module, dtype: torch.dtype | None) -> Iterator[str]:
    if dtype is None and any(True for _ in model.parameters()):
        yield "its parameters have several dtypes, but a weights folder has one (model.float() converts them)"
    found, built = model.state_dict(), rebuilt.state_dict()
    for name in [*built, *(name for name in found if name not in built)]:
        one, other = (_kind(tensors.get(name)) for tensors in (found, built))
        if one != other:
            yield f"the tensor {name} is {one}, but its arguments build {other}"


def _kind(tensor: Any) -> str:
    return "missing" if tensor is None else f"{tensor.dtype} of shape {tuple(tensor.shape)}"
