"""What figures are drawn from: arrays, and tensors as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

ArrayOrTensor: TypeAlias = "npt.ArrayLike | Tensor"


def as_array(name: str, values: ArrayOrTensor, *ndim: int) -> npt.NDArray[Any]:
    """Convert an array, or a tensor of any device and dtype, to an array.

    Parameters
    ----------
    name
        Name of the argument, for messages.
    values
        The array or tensor.
    ndim
        The numbers of axes that it can have; any if none is given.

    Raises
    ------
    ValueError
        It is empty, holds no numbers, or has another number of axes.
    """
    tensor: Any = values
    if hasattr(tensor, "detach"):  # a tensor, and no reason to load torch
        tensor = (tensor.dequantize() if tensor.is_quantized else tensor).detach().cpu()
        tensor = tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor
    try:
        array = np.asarray(tensor)
    except (ValueError, TypeError) as error:  # rows of different lengths, or no array at all
        raise ValueError(f"{name} is no array ({error}); expected numbers, with rows of equal lengths") from error
    if not array.size or array.dtype.kind not in "biuf" or (ndim and array.ndim not in ndim):
        axes = f" with {' or '.join(map(str, ndim))} axes" if ndim else ""
        raise ValueError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; expected numbers{axes}, at least one"
        )
    return array
