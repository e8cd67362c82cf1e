"""`export_vectors`: golden vectors, the inputs and outputs of every layer for some images."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..data.datasets import ImageDataset
from ..data.preprocess import Preprocess, as_batch
from ..data.sets import load_data
from ..quantization import IntegerNetwork, WeightedLayer
from ..quantization.reference import accumulate
from ..storage import StrPath, as_path, shown
from ..weights.bundle import Pretrained
from .exported import Exported, write_exports
from .layers import check_finite, trace
from .program import as_program

Array: TypeAlias = npt.NDArray[Any]

_ABOUT = """\
# Golden vectors: the input and the output of every layer.
# `vector NUMBER` starts an image. `NAME DTYPE SHAPE` starts an array; its values follow, one line per row.
# A float has the nine significant digits that identify a float32."""


def export_vectors(source: Pretrained | IntegerNetwork, path: StrPath, *, data: ImageDataset | None = None) -> Exported:
    """Write golden vectors, to test another implementation layer by layer.

    Parameters
    ----------
    source
        The network with its preprocessing, as `lenet5.load` returns it; or an integer network, as
        `lenet5.quantization.quantize` does.
    path
        The file in NumPy's format, such as "vectors.npz". The same numbers are written as text beside it, with the
        suffix ".txt". Existing files are replaced.
    data
        Images, of which the first of each class is taken. None for the test set of the embedded digits.

    Returns
    -------
    Exported
        The files, and the names of the arrays; each has the images as its first axis. `target` holds the indices of the
        classes in `data`, `pixels` the uint8 images, and `image` the input of the first layer. `c1.conv` is the output
        of C1's convolution, `c1` that of its activation, and so on. `output` holds the logits.
        Of an integer network, `image` holds the pixels with their border, and `c1.accumulator` the sums before scaling.

    Raises
    ------
    TypeError
        The source is no network of this package.
    ValueError
        The source has no preprocessing, a weight is not finite, the network is not a row of layers, or the path does
        not end in ".npz".

    Examples
    --------
    >>> exported = lenet5.export.export_vectors(lenet5.load("mnist_v2"), "vectors.npz")
    >>> with np.load("vectors.npz") as vectors:
    ...     vectors["c1"].shape
    (10, 6, 28, 28)
    """
    target = as_path(path)
    if target.suffix != ".npz":
        raise ValueError(f"the path is {shown(target)}; expected the name of a file that ends in .npz")
    chosen = load_data("digits").test if data is None else data
    arrays = _integers(source, chosen) if isinstance(source, IntegerNetwork) else _floats(source, chosen)
    return _write(arrays, target)


def _floats(source: Pretrained, data: ImageDataset) -> dict[str, Array]:
    as_program(source, preprocess=True)  # for its errors
    network = as_program(source, preprocess=False).module
    check_finite(network)
    targets, pixels = _first_of_each_class(data, source.preprocess)
    images = source.preprocess(pixels)
    outputs = {name: tensor for name, tensor in trace(network, images).items() if not name.endswith(".activation")}
    arrays = {"target": targets, "pixels": pixels, "image": images, **outputs}
    return {name: tensor.numpy() for name, tensor in arrays.items()}


def _integers(network: IntegerNetwork, data: ImageDataset) -> dict[str, Array]:
    targets, pixels = _first_of_each_class(data, network.preprocess)
    image = network.preprocess.resize(pixels).numpy()
    arrays: dict[str, Array] = {"target": targets.numpy(), "pixels": pixels.numpy(), "image": image}
    outputs = network.run(image)
    x = image.astype(np.int32) - network.zero_point.astype(np.int32)[:, None, None]
    for layer in network.layers:
        if isinstance(layer, WeightedLayer):
            arrays[f"{layer.name}.accumulator"] = accumulate(layer, x)
        arrays[layer.name] = outputs[layer.name]
        x = outputs[layer.name].astype(np.int32)
    return arrays


def _first_of_each_class(data: ImageDataset, preprocess: Preprocess) -> tuple[Tensor, Tensor]:
    """Return the class indices (N,) and uint8 pixels (N, C, H, W), without border, of the first image of each class."""
    rows = [int((data.targets == target).nonzero()[0]) for target in sorted(set(data.targets.tolist()))]
    return data.targets[rows], as_batch(preprocess.without_border().resize(data.images[rows]))


def _write(arrays: Mapping[str, Array], target: Path) -> Exported:
    """Write arrays whose first axis are the vectors."""
    file = io.BytesIO()
    np.savez(file, **cast("dict[str, Any]", arrays))
    contents = {".npz": file.getvalue(), ".txt": "".join(f"{line}\n" for line in _lines(arrays)).encode()}
    files = write_exports({target.with_suffix(suffix): data for suffix, data in contents.items()})
    return Exported(files, (f"{len(arrays['target'])} vectors of {', '.join(arrays)}",))


def _lines(arrays: Mapping[str, Array]) -> Iterator[str]:
    yield _ABOUT
    for number in range(len(arrays["target"])):
        yield f"vector {number}"
        for name, array in arrays.items():
            values = array[number]
            yield f"{name} {array.dtype} {'x'.join(map(str, values.shape)) or '1'}"
            for row in values.reshape(-1, values.shape[-1] if values.ndim else 1).tolist():
                yield " ".join(f"{value:.9g}" if array.dtype.kind == "f" else str(value) for value in row)
