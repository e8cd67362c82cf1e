"""The files of an integer network: `config.json` for single numbers, and `model.safetensors` for arrays."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import storage
from ..data.preprocess import Preprocess
from ..storage import StrPath
from .layers import DistanceLayer, IntegerLayer, PoolingLayer, WeightedLayer

CONFIG = "config.json"
TENSORS = "model.safetensors"

_ARCHITECTURE = "IntegerNetwork"
_LAYERS = {layer.__name__: layer for layer in (WeightedLayer, PoolingLayer, DistanceLayer)}
_LARGEST = 64 << 20  # bytes, for the weights of images of about 1,000 pixels a side


def write_folder(network: Any, directory: StrPath) -> None:
    """Write the fields of an integer network; see `IntegerNetwork.save`."""
    directory = storage.as_path(directory)
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{storage.shown(directory)} is a file; expected a folder or a new path")
    tensors: dict[str, Tensor] = {}
    config = {
        **_split(network, "", tensors),
        "layers": [
            {"type": type(layer).__name__, **_split(layer, f"{layer.name}.", tensors)} for layer in network.layers
        ],
        "preprocess": asdict(network.preprocess),
    }
    data = storage.tensors_bytes(tensors)
    record = {"architecture": _ARCHITECTURE, "network": config, "sha256": hashlib.sha256(data).hexdigest()}
    directory.mkdir(parents=True, exist_ok=True)
    contents = {CONFIG: storage.json_bytes(storage.sealed(record)), TENSORS: data}
    storage.write_files({directory / name: content for name, content in contents.items()})


def read_folder(directory: StrPath) -> dict[str, Any]:
    """Read the fields of an integer network; see `IntegerNetwork.load`."""
    path = storage.as_path(directory) / CONFIG
    return storage.consistently(path, lambda: _read(path))


def _read(path: Any) -> dict[str, Any]:
    record = storage.unsealed(storage.read_json(path), path)
    if record.get("architecture") != _ARCHITECTURE:
        raise ValueError(
            f"{storage.shown(path)} names the architecture {record.get('architecture')!r}; expected {_ARCHITECTURE!r}"
        )
    file = path.with_name(TENSORS)
    tensors = storage.parse_tensors(storage.read_member(file, str(record.get("sha256")), limit=_LARGEST), file)
    try:
        network = _joined(record["network"], "", tensors)
        layers = tuple(_read_layer(layer, tensors) for layer in network["layers"])
        preprocess = Preprocess(**network["preprocess"])
        return {**network, "layers": layers, "preprocess": preprocess, "classes": tuple(network["classes"])}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{storage.shown(path)} does not describe an integer network: {error!r}") from error


def _split(record: Any, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Return the fields of a dataclass that JSON can hold, and add its arrays to the tensors."""
    values = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            tensors[prefix + field.name] = torch.from_numpy(value)
        else:
            values[field.name] = str(value) if isinstance(value, np.dtype) else value
    return values


def _joined(values: Mapping[str, Any], prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the fields of a dataclass from its part of the JSON, and those of the tensors that have its prefix."""
    arrays = {name.removeprefix(prefix): tensor.numpy() for name, tensor in tensors.items() if name.startswith(prefix)}
    return {**values, **{name: array for name, array in arrays.items() if "." not in name}}


def _read_layer(values: dict[str, Any], tensors: Mapping[str, Tensor]) -> IntegerLayer:
    joined = _joined(values, f"{values['name']}.", tensors)
    layer_type = _LAYERS[joined.pop("type")]
    if "dtype" in joined:
        joined["dtype"] = np.dtype(joined["dtype"])
    if joined.get("connections"):
        joined["connections"] = tuple(map(tuple, joined["connections"]))
    layer: IntegerLayer = layer_type(**joined)
    return layer
