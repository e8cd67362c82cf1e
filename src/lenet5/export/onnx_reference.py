"""ONNX files computed by onnx's own reference implementation."""

from typing import Any

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from torch import Tensor

from .program import INPUT

_OPSET = 19  # the first whose QuantizeLinear the implementation has; the operators that are used here have not changed


class Gather(OpRun):
    """The operator of this name; versions of onnx before 1.23 fail if the indices are not contiguous."""

    op_domain = ""

    def _run(self, x: Any, indices: Any, axis: int = 0) -> tuple[Any]:
        return (np.take(x, indices, axis=axis),)


def evaluate(model: onnx.ModelProto, images: Tensor) -> Tensor:
    """Compute the result (N, num_classes) of a file from its images."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.opset_import[0].version = max(_OPSET, model.opset_import[0].version)
    (result,) = ReferenceEvaluator(copy, new_ops=[Gather]).run(None, {INPUT: images.numpy()})
    return torch.from_numpy(result)
