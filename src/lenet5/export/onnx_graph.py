"""An ONNX graph under construction: nodes, and the tensors that they share."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from torch import Tensor


class Graph:
    """Nodes and constant tensors, in the order of their computation.

    Attributes
    ----------
    nodes
        The nodes.
    tensors
        The constant tensors.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def tensor(self, name: str, values: Tensor | npt.NDArray[Any]) -> str:
        """Add a constant tensor; return its name."""
        array = values.detach().numpy() if isinstance(values, Tensor) else values
        self.tensors.append(onnx.numpy_helper.from_array(array, name))
        return name

    def number(self, name: str, value: float) -> str:
        """Add a float32 constant; return its name."""
        return self.tensor(name, np.array(value, np.float32))

    def integers(self, name: str, *values: int) -> str:
        """Add a vector of int64; return its name."""
        return self.tensor(name, np.array(values, np.int64))

    def node(self, operator: str, name: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, which has the name of the node; return it."""
        self.nodes.append(onnx.helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def rename(self, old: str, new: str) -> None:
        """Rename the output of a node."""
        for node in self.nodes:
            for values in (node.input, node.output):
                for position, value in enumerate(values):
                    if value == old:
                        values[position] = new
