"""CUDA graph capture: launch overhead dominates the training step of a small network."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class CapturedGradients:
    """A loss-and-gradient function, captured as a CUDA graph and replayed.

    For each shape of the inputs, the first call runs the function, the second captures it, and all later calls replay
    the graph.

    Parameters
    ----------
    compute
        Maps tensors to the loss, a scalar tensor, and sets the gradients of the parameters, which are None before. It
        must run the same operators for all tensors of one shape, and have no side effects except on device tensors.
    model
        The model that owns the parameters. Call `refresh` after changing anything but the values of its tensors.

    Raises
    ------
    RuntimeError
        On a call: the function synchronises with the device, or does something else that a graph cannot contain.
    """

    compute: Callable[..., Tensor]
    model: nn.Module

    def __init__(self, compute: Callable[..., Tensor], model: nn.Module) -> None:
        self.compute, self.model = compute, model
        self._seen: set[Any] = set()  # shapes called once, for which the CUDA libraries have chosen algorithms
        self._captures: dict[Any, _Capture] = {}
        self._fingerprint: list[Any] = []

    def refresh(self) -> None:
        """Discard all captures if the model's parameters, modules or modes have changed since the last call."""
        parameters = [(parameter.data_ptr(), parameter.requires_grad) for parameter in self.model.parameters()]
        fingerprint = [*parameters, *((id(module), module.training) for module in self.model.modules())]
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._captures.clear()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return the loss for device tensors, and set the gradients of the parameters."""
        shape = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        if shape not in self._seen:
            self._seen.add(shape)
            return self.compute(*inputs)
        if shape not in self._captures:
            self._captures[shape] = self._capture(inputs)
        capture = self._captures[shape]
        for static, given in zip(capture.inputs, inputs, strict=True):
            static.copy_(given)
        capture.graph.replay()
        for parameter, gradient in capture.gradients:
            parameter.grad = gradient
        return capture.loss

    def _capture(self, inputs: tuple[Tensor, ...]) -> _Capture:
        static = tuple(tensor.clone() for tensor in inputs)
        graph = torch.cuda.CUDAGraph()
        collecting = gc.isenabled()
        gc.disable()  # freeing a graph during a capture breaks the capture
        try:
            with torch.cuda.device(static[0].device), torch.cuda.graph(graph):
                loss = self.compute(*static)
        except RuntimeError as error:
            name = type(self.model).__name__
            raise RuntimeError(f"{name} cannot be captured as a CUDA graph; set cuda_graph=False") from error
        finally:
            if collecting:
                gc.enable()
        gradients = [(parameter, parameter.grad) for parameter in self.model.parameters() if parameter.grad is not None]
        return _Capture(graph, static, loss, gradients)


class _Capture(NamedTuple):
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]  # static tensors that the graph reads
    loss: Tensor  # static tensors that the graph writes: this and the gradients
    gradients: list[tuple[nn.Parameter, Tensor]]
