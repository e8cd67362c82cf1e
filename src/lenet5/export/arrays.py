"""`export_arrays`: every tensor of a network as a file of its own, and an index."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..quantization import IntegerNetwork
from ..storage import StrPath, as_path
from .exported import Exported, write_exports
from .layers import check_finite
from .program import Source, as_program

ArrayFormat: TypeAlias = Literal["npy", "mem", "hex"]
Array: TypeAlias = npt.NDArray[Any]

INDEX = "index.json"


def export_arrays(source: Source | IntegerNetwork, path: StrPath, *, format: ArrayFormat = "npy") -> Exported:  # noqa: A002
    """Write every weight of a network to a file of its own, with an index of their shapes.

    Parameters
    ----------
    source
        The network: the result of `lenet5.load`, any network of this package, or the result of
        `lenet5.quantization.quantize`.
    path
        The folder; created if missing. Files of these names are replaced, others stay.
    format
        - "npy": NumPy's format.
        - "mem" or "hex": text for Verilog's `$readmemh`, one element per line in hexadecimal digits, the last axis
          fastest. Floats are their 32 bits in IEEE 754, integers their two's complement.

    Returns
    -------
    Exported
        The files. `index.json` has the shape, dtype and file of each array, the preprocessing and the classes; of an
        integer network, also the scales and ranges of each layer.

    Raises
    ------
    TypeError
        The source is no network of this package.
    ValueError
        A weight is not finite, the format is unknown, or the path is a file.

    Examples
    --------
    >>> exported = lenet5.export.export_arrays(lenet5.load("mnist_v2"), "weights")
    >>> exported.description
    ('10 arrays, 61,706 numbers',)
    >>> np.load("weights/c1.conv.weight.npy").shape
    (6, 1, 5, 5)
    """
    if format not in ("npy", "mem", "hex"):
        raise ValueError(f"the format is {format!r}; expected 'npy', 'mem' or 'hex'")
    index, arrays = _integers(source) if isinstance(source, IntegerNetwork) else _floats(source)
    folder = as_path(path)
    contents = {f"{name}.{format}": _encoded(array, format) for name, array in arrays.items()}
    index["arrays"] = [
        {"name": name, "file": f"{name}.{format}", "shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in arrays.items()
    ]
    contents[INDEX] = (json.dumps(index, indent=2) + "\n").encode()
    files = write_exports({folder / name: data for name, data in contents.items()})
    return Exported(files, (f"{len(arrays)} arrays, {sum(array.size for array in arrays.values()):,} numbers",))


def _floats(source: Source) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return what the index says about a network, and its tensors."""
    program = as_program(source, preprocess=False)
    check_finite(program.module)
    return _described(program.metadata), {name: tensor.numpy() for name, tensor in program.module.state_dict().items()}


def _integers(network: IntegerNetwork) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return what the index says about an integer network, with its scales, and its arrays of integers."""
    arrays: dict[str, Array] = {"zero_point": network.zero_point}
    layers = []
    for layer in network.layers:
        values = {field.name: getattr(layer, field.name) for field in fields(layer)}
        integers = {
            key: value for key, value in values.items() if getattr(value, "dtype", np.dtype(float)).kind in "iu"
        }
        integers = {key: value for key, value in integers.items() if isinstance(value, np.ndarray)}
        arrays |= {f"{layer.name}.{key}": value for key, value in integers.items()}
        rest = {key: value for key, value in values.items() if key not in integers and value is not None}
        layers.append({**rest, "output_scale": layer.output_scale, "dtype": layer.dtype})
    own = {key: getattr(network, key) for key in ("architecture", "classes", "weight_bits", "activation_bits")}
    more = {"preprocessing": asdict(network.preprocess), "input_scale": network.input_scale, "layers": layers}
    index: dict[str, Any] = json.loads(json.dumps({**own, **more}, default=_plain))
    return index, arrays


def _plain(value: Any) -> Any:
    """Return an array as lists, and a dtype as its name."""
    return value.tolist() if isinstance(value, np.ndarray) else str(value)


def _described(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what the index says about the network; some of the metadata is JSON."""
    values = {name: json.loads(text) for name, text in metadata.items() if name in {"classes", "preprocessing"}}
    return {**metadata, **values}


def _encoded(array: Array, kind: str) -> bytes:
    if kind == "npy":
        file = io.BytesIO()
        np.save(file, array.astype(array.dtype.newbyteorder("<")))
        return file.getvalue()
    bits = np.ascontiguousarray(array).view(f"u{array.itemsize}").ravel()
    return "".join(f"{word:0{2 * array.itemsize}x}\n" for word in bits.tolist()).encode()
